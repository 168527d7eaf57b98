-- Rewards of every model on each workload, and what the workload mostly asks about and mostly pays for; our own calls are left out.
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
SELECT m.main_model AS main_model, m.about AS about, j.workload AS workload, j.model AS used, sum(j.n) AS rewards, sum(j.accepted) AS good
FROM judged AS j
JOIN mains AS m ON j.workload = m.workload
GROUP BY m.main_model, m.about, j.workload, j.model
ORDER BY main_model, about, workload, used
