-- Sessions by length, and what their prompts repeated: all but the longest prompt of a session came again in a later one.
SELECT began AS week, workload, model, turns_taken AS turns, count(*) AS sessions, CAST(sum(n) AS BIGINT) AS requests,
    CAST(sum(went_in) AS BIGINT) AS prompt, CAST(sum(went_in - longest) AS BIGINT) AS repeated,
    CAST(sum(read_back) AS BIGINT) AS cached, CAST(sum(called) AS BIGINT) AS tool_calls,
    CAST(sum(spent) AS BIGINT) AS cost
FROM (
    SELECT min(week) AS began, workload, session_id, model_used AS model, count(*) AS n,
        least(count(*), 20) AS turns_taken, sum(prompt_tokens) AS went_in, max(prompt_tokens) AS longest,
        sum(usage_cache_read) AS read_back, sum(tools_called) AS called, sum(billed_nanousd) AS spent
    FROM {generations}
    WHERE session_id IS NOT NULL AND status <> 'error'
    GROUP BY workload, session_id, model_used
) AS each_session
GROUP BY began, workload, model, turns_taken
