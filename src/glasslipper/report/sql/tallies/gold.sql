-- What a judge said of prompts that the classifier had labelled, and how many tokens they had.
SELECT g.week AS week, g.model_used AS model, coalesce(g.task, '') AS labelled, coalesce(g.tag, '') AS labelled_tag,
    coalesce(j.task, '') AS judged, coalesce(j.tag, '') AS judged_tag, count(*) AS n,
    CAST(sum(g.prompt_tokens + g.completion_tokens) AS BIGINT) AS tokens,
    sum(CAST(g.prompt_tokens + g.completion_tokens AS DOUBLE) * (g.prompt_tokens + g.completion_tokens)) AS squares
FROM {topics} AS j
JOIN {generations} AS g ON j.generation_id = g.id
WHERE j.kind = 'judged'
GROUP BY g.week, g.model_used, coalesce(g.task, ''), coalesce(g.tag, ''), coalesce(j.task, ''), coalesce(j.tag, '')
