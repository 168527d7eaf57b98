SELECT week, task, sum(tokens) AS t FROM usage WHERE source = 'Open, China' AND task <> '' GROUP BY week, task ORDER BY week, task
