-- One row for each workload, model and task, whatever unit cohorts are made of.
SELECT u.unit AS workload, u.model AS model, coalesce(u.task, '') AS task, sum(u.requests) AS requests,
    sum(u.prompt_tokens) AS prompt, sum(u.completion_tokens) AS completion, sum(u.billed_nanousd) AS cost
FROM workload_weeks AS u
GROUP BY u.unit, u.model, coalesce(u.task, '')
