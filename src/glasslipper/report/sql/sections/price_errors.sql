-- Of requests that were tried once: what was billed beside what the price rows give for the same tokens, by week.
-- A thousand million tokens at fifteen dollars a million are more than 64 bits of nano-dollars a million.
SELECT p.model AS model, p.provider AS provider, date_trunc('week', p.day) AS week, sum(p.billed) AS c, sum(p.requests) AS n,
    CAST(sum(p.units_input * CAST(r.price_input AS DECIMAL(19, 0))
        + p.units_cache_read * CAST(r.price_cache_read AS DECIMAL(19, 0))
        + p.units_cache_write * CAST(r.price_cache_write AS DECIMAL(19, 0))
        + p.units_cache_write_1h * CAST(r.price_cache_write_1h AS DECIMAL(19, 0))
        + p.units_input_audio * CAST(r.price_input_audio AS DECIMAL(19, 0))
        + p.units_input_image * CAST(r.price_input_image AS DECIMAL(19, 0))
        + p.units_output * CAST(r.price_output AS DECIMAL(19, 0))
        + p.units_reasoning * CAST(r.price_reasoning AS DECIMAL(19, 0))
        + p.units_output_audio * CAST(r.price_output_audio AS DECIMAL(19, 0))
        + p.units_output_image * CAST(r.price_output_image AS DECIMAL(19, 0))
        + p.units_requests * CAST(r.price_requests AS DECIMAL(19, 0))
        + p.units_searches * CAST(r.price_searches AS DECIMAL(19, 0))
        + p.units_cpu_us * CAST(r.price_cpu_us AS DECIMAL(19, 0))) AS DOUBLE) / 1000000 AS due
FROM priced AS p
JOIN prices AS r ON p.price_id = r.id
WHERE NOT p.retried
GROUP BY p.model, p.provider, date_trunc('week', p.day)
ORDER BY model, provider, week
