-- One row for each unit, week, model and task; a unit is a workload, a key or a user.
SELECT u.unit AS unit, u.week AS week, u.model AS model, coalesce(u.task, '') AS task,
    sum(u.requests) AS requests, sum(u.prompt_tokens + u.completion_tokens) AS tokens,
    sum(u.billed_nanousd) AS cost
FROM unit_weeks AS u
GROUP BY u.unit, u.week, u.model, coalesce(u.task, '')
