SELECT week, task, source, sum(tokens) AS t FROM usage WHERE task <> '' GROUP BY week, task, source ORDER BY week, task, source
