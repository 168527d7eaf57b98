-- What each workload sends to the model that it mostly pays for.
WITH mains AS (
    SELECT workload, max_by(model, c) AS main_model, max_by(main_task, n) AS about
    FROM (
        SELECT workload, model, max_by(task, requests) AS main_task, sum(cost) AS c, max(requests) AS n
        FROM workloads
        GROUP BY workload, model
    ) AS each_model
    GROUP BY workload
)
SELECT m.main_model AS main_model, m.about AS about, w.workload AS workload, sum(w.prompt) AS p, sum(w.completion) AS o, sum(w.cost) AS c
FROM workloads AS w
JOIN mains AS m ON w.workload = m.workload
WHERE w.model = m.main_model
GROUP BY m.main_model, m.about, w.workload
ORDER BY main_model, about, workload
