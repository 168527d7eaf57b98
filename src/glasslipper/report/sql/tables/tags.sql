-- One row for each task, tag, author and source.
SELECT coalesce(u.task, '') AS task, coalesce(u.tag, '') AS tag, m.author AS author, m.source AS source,
    sum(u.requests) AS requests, sum(u.prompt_tokens + u.completion_tokens) AS tokens
FROM days AS u
JOIN models AS m ON u.model = m.id
GROUP BY coalesce(u.task, ''), coalesce(u.tag, ''), m.author, m.source
