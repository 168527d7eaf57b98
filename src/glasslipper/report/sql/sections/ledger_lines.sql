SELECT day, model, provider, sum(cost) AS c, sum(requests) AS n FROM daily GROUP BY day, model, provider ORDER BY day, model, provider
