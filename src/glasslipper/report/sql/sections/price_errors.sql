-- Of requests that were tried once: what was billed beside what the price rows give for the same tokens, by week.
SELECT p.model AS model, p.provider AS provider, date_trunc('week', p.day) AS week, sum(p.billed) AS c, sum(p.requests) AS n,
    sum(p.units_input * r.price_input + p.units_cache_read * r.price_cache_read
        + p.units_cache_write * r.price_cache_write + p.units_cache_write_1h * r.price_cache_write_1h
        + p.units_input_audio * r.price_input_audio + p.units_input_image * r.price_input_image
        + p.units_output * r.price_output + p.units_reasoning * r.price_reasoning
        + p.units_output_audio * r.price_output_audio + p.units_output_image * r.price_output_image
        + p.units_requests * r.price_requests + p.units_searches * r.price_searches
        + p.units_cpu_us * r.price_cpu_us) / 1000000 AS due
FROM priced AS p
JOIN prices AS r ON p.price_id = r.id
WHERE NOT p.retried
GROUP BY p.model, p.provider, date_trunc('week', p.day)
ORDER BY model, provider, week
