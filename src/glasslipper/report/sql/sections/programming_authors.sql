SELECT week, author, sum(tokens) AS t FROM usage WHERE task = 'programming' GROUP BY week, author ORDER BY week, author
