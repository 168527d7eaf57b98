-- What a judge said of prompts that the classifier had labelled.
SELECT coalesce(g.task, '') AS labelled, coalesce(j.task, '') AS judged, count(*) AS n
FROM {topics} AS j
JOIN {generations} AS g ON j.generation_id = g.id
WHERE j.kind = 'judged'
GROUP BY coalesce(g.task, ''), coalesce(j.task, '')
