-- How answers of other models compare to those that were given to the same prompts.
SELECT g.week AS week, g.workload AS workload, g.model_used AS model, c.other AS other, count(*) AS n,
    count(*) FILTER (WHERE c.better = 'other') AS better, count(*) FILTER (WHERE c.better = 'this') AS worse
FROM {comparisons} AS c
JOIN {generations} AS g ON c.generation_id = g.id
GROUP BY g.week, g.workload, g.model_used, c.other
