-- Rewards, with what was rewarded; of an answer that was rewarded more than once, the last one.
SELECT g.week AS week, g.workload AS workload, g.model_used AS model, g.task AS task, count(*) AS n,
    count(*) FILTER (WHERE f.reward >= 0.5) AS accepted, sum(f.reward) AS reward,
    CAST(sum(g.billed_nanousd) AS BIGINT) AS cost,
    CAST(sum(g.prompt_tokens + g.completion_tokens) AS BIGINT) AS tokens
FROM (
    SELECT r.generation_id AS generation_id, max_by(r.reward, (r.noted_ms, r.id)) AS reward
    FROM {feedback} AS r
    WHERE r.reward IS NOT NULL
    GROUP BY r.generation_id
) AS f
JOIN {generations} AS g ON f.generation_id = g.id
GROUP BY g.week, g.workload, g.model_used, g.task
