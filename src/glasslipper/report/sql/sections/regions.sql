SELECT week, country, sum(cost) AS c, sum(tokens) AS t FROM places GROUP BY week, country ORDER BY week, country
