-- Prompts of each workload's main model that another model was asked again, and how often that one did better or worse.
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
SELECT m.main_model AS main_model, m.about AS about, a.other AS used, sum(a.n) AS pairs, sum(a.better) AS gained, sum(a.worse) AS lost
FROM compared AS a
JOIN mains AS m ON a.workload = m.workload
WHERE a.model = m.main_model AND a.other <> a.model
GROUP BY m.main_model, m.about, a.other
ORDER BY main_model, about, used
