SELECT model, coalesce(task, '') AS about, sum(n) AS rewards, sum(accepted) AS good, sum(cost) AS c FROM judged GROUP BY model, coalesce(task, '') ORDER BY model, about
