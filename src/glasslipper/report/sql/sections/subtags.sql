SELECT task, tag, sum(tokens) AS t FROM tags WHERE task <> '' GROUP BY task, tag ORDER BY task, t DESC, tag
