SELECT week, size, sum(tokens) AS t, count(DISTINCT model) AS n FROM usage WHERE source LIKE 'Open%' GROUP BY week, size ORDER BY week, size
