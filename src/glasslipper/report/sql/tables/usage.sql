-- One row for each week, model, provider and task.
SELECT date_trunc('week', u.day) AS week, u.model AS model, m.author AS author, m.source AS source,
    m.size AS size, m.reasoning AS reasoning, u.provider AS provider, coalesce(u.task, '') AS task,
    sum(u.requests) AS requests, sum(u.ok) AS ok, sum(u.cancelled) AS cancelled, sum(u.failed) AS failed,
    sum(u.prompt_tokens) AS prompt, sum(u.completion_tokens) AS completion,
    sum(u.prompt_tokens + u.completion_tokens) AS tokens, sum(u.usage_reasoning) AS thought,
    sum(u.usage_cache_read) AS cached, sum(u.billed_nanousd) AS cost,
    sum(u.tool_call_requests) AS tool_requests, sum(u.tool_call_tokens) AS tool_tokens,
    sum(u.tools_offered_requests) AS offered_requests, sum(u.tools_offered_tokens) AS offered_tokens
FROM days AS u
JOIN models AS m ON u.model = m.id
GROUP BY date_trunc('week', u.day), u.model, m.author, m.source, m.size, m.reasoning, u.provider, coalesce(u.task, '')
