SELECT week, author, task, sum(tokens) AS t FROM usage WHERE task <> '' GROUP BY week, author, task ORDER BY week, author, task
