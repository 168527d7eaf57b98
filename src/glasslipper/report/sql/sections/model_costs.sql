SELECT model, author, source, sum(tokens) AS t, sum(cost) AS c, sum(requests) AS n FROM usage GROUP BY model, author, source HAVING sum(tokens) > 0 ORDER BY t DESC, model
