-- Requests by hour of the week, UTC.
SELECT day, CAST(floor(created_ms / 3600000) AS BIGINT) % 24 AS hour_of_day, count(*) AS requests,
    CAST(sum(prompt_tokens + completion_tokens) AS BIGINT) AS tokens
FROM {generations}
GROUP BY day, CAST(floor(created_ms / 3600000) AS BIGINT) % 24
