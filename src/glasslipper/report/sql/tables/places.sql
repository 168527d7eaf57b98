-- One row for each week and country.
SELECT date_trunc('week', u.day) AS week, coalesce(u.country, '') AS country, sum(u.requests) AS requests,
    sum(u.prompt_tokens + u.completion_tokens) AS tokens, sum(u.billed_nanousd) AS cost
FROM days AS u
GROUP BY date_trunc('week', u.day), coalesce(u.country, '')
