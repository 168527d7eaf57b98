-- Each unit's main model by month, and what it was a month later.
WITH ranked AS (
    SELECT unit, month_number, model,
        row_number() OVER (PARTITION BY unit, month_number ORDER BY times DESC, model) AS place
    FROM actives
)
SELECT a.model AS came_from, b.model AS went_to, count(*) AS n, count(DISTINCT a.unit) AS units_moved
FROM ranked AS a
JOIN ranked AS b ON a.unit = b.unit
WHERE a.place = 1 AND b.place = 1 AND b.month_number = a.month_number + 1
GROUP BY a.model, b.model
ORDER BY came_from, went_to
