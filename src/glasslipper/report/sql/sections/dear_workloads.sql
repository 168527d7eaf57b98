-- What each workload sends in each week to the model that it mostly pays for.
WITH mains AS (
    SELECT workload, max_by(model, c) AS main_model, max_by(main_task, n) AS about
    FROM (
        SELECT workload, model, max_by(task, requests) AS main_task, sum(cost) AS c, max(requests) AS n
        FROM workloads
        WHERE workload NOT LIKE '%/glasslipper %'
        GROUP BY workload, model
    ) AS each_model
    GROUP BY workload
)
SELECT m.main_model AS main_model, m.about AS about, w.unit AS workload, w.week AS week,
    sum(w.prompt_tokens) AS p, sum(w.completion_tokens) AS o, sum(w.billed_nanousd) AS c
FROM workload_weeks AS w
JOIN mains AS m ON w.unit = m.workload
WHERE w.model = m.main_model
GROUP BY m.main_model, m.about, w.unit, w.week
ORDER BY main_model, about, workload, week
