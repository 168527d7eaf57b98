SELECT week, reasoning, sum(tokens) AS t FROM usage GROUP BY week, reasoning ORDER BY week, reasoning
