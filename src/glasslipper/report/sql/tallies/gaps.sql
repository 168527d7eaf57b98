-- What is missing from the rows themselves.
SELECT day, count(*) AS requests,
    count(*) FILTER (WHERE task IS NULL) AS unclassified,
    count(*) FILTER (WHERE estimated) AS estimated_usage,
    count(*) FILTER (WHERE status = 'ok' AND prompt_tokens + completion_tokens = 0) AS without_usage,
    count(*) FILTER (WHERE price_id IS NULL) AS unpriced,
    count(*) FILTER (WHERE first_token_ms > duration_ms) AS impossible_times
FROM {generations}
GROUP BY day
