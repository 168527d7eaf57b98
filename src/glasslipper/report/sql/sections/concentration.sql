SELECT week, author, sum(tokens) AS t FROM usage GROUP BY week, author ORDER BY week, author
