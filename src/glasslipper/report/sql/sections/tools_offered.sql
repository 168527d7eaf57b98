SELECT week, model, sum(offered_tokens) AS t FROM usage GROUP BY week, model HAVING sum(offered_tokens) > 0 ORDER BY week, model
