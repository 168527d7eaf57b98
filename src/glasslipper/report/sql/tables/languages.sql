-- One row for each language.
SELECT coalesce(u.language, '') AS language, sum(u.requests) AS requests,
    sum(u.prompt_tokens + u.completion_tokens) AS tokens
FROM days AS u
GROUP BY coalesce(u.language, '')
