SELECT week, model, sum(tokens) AS t FROM usage WHERE source LIKE 'Open%' GROUP BY week, model ORDER BY week, model
