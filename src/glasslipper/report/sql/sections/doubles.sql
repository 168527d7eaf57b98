SELECT day, sum(extra) AS n, sum(cost) AS c FROM doubles GROUP BY day ORDER BY day
