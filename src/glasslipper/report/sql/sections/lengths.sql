SELECT week, task, sum(requests) AS n, sum(prompt) AS p, sum(completion) AS c FROM usage GROUP BY week, task ORDER BY week, task
