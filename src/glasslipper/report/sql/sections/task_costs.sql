SELECT task, sum(tokens) AS t, sum(cost) AS c, sum(requests) AS n FROM usage WHERE task <> '' GROUP BY task HAVING sum(tokens) > 0 ORDER BY task
