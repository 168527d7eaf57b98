SELECT workload, model, sum(sessions) AS n, sum(requests) AS calls, sum(prompt) AS p, sum(repeated) AS again, sum(cached) AS r FROM sessions GROUP BY workload, model ORDER BY workload, model
