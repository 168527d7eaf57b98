SELECT week, source, sum(tokens) AS t FROM usage GROUP BY week, source ORDER BY week, source
