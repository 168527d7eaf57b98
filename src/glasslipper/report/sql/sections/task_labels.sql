SELECT task, sum(requests) AS n FROM usage GROUP BY task ORDER BY task
