-- One row for each day, model and provider.
SELECT u.day AS day, u.model AS model, u.provider AS provider, sum(u.requests) AS requests,
    sum(u.prompt_tokens + u.completion_tokens) AS tokens, sum(u.billed_nanousd) AS cost
FROM days AS u
GROUP BY u.day, u.model, u.provider
