SELECT day, sum(cost) AS c, sum(requests) AS n FROM daily GROUP BY day ORDER BY day
