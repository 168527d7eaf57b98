SELECT author, source, sum(tokens) AS t, sum(cost) AS c FROM usage WHERE source LIKE 'Open%' GROUP BY author, source ORDER BY t DESC, author
