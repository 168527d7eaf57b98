-- Cohorts of units by the month of their first request to a model, and how many were active k months later.
WITH marked AS (
    SELECT unit, model, month_number,
        min(month_number) OVER (PARTITION BY unit, model) AS start,
        lag(month_number, 1, -1) OVER (PARTITION BY unit, model ORDER BY month_number) AS before,
        lead(month_number, 1, -1) OVER (PARTITION BY unit, model ORDER BY month_number) AS after
    FROM actives
)
SELECT model, start, month_number - start AS k, count(*) AS n,
    count(*) FILTER (WHERE before >= 0 AND before < month_number - 1) AS came_back,
    count(*) FILTER (WHERE after < 0 OR after > month_number + 1) AS then_left
FROM marked
GROUP BY model, start, month_number - start
ORDER BY model, start, k
