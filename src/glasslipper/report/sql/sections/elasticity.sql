-- Tokens of a model at each of its providers by month, and the prices there; months are those of the weeks' Mondays.
SELECT p.model AS model, p.provider AS provider,
    year(date_trunc('week', p.day)) * 12 + month(date_trunc('week', p.day)) - 1 AS month_number,
    r.price_input AS price_in, r.price_output AS price_out,
    sum(p.units_input + p.units_cache_read) AS went_in, sum(p.units_output + p.units_reasoning) AS came_out,
    sum(p.requests) AS n
FROM priced AS p
JOIN prices AS r ON p.price_id = r.id
GROUP BY p.model, p.provider, year(date_trunc('week', p.day)) * 12 + month(date_trunc('week', p.day)) - 1, r.price_input, r.price_output
ORDER BY model, provider, month_number, price_in
