SELECT language, tokens AS t, requests AS n FROM languages ORDER BY t DESC, language
