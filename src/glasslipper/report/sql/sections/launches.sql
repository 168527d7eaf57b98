-- For every model that came while the ledger ran: each unit's main model in the four weeks before, and in weeks one to four after.
-- A main model has at least half of a unit's requests and four of them; units without one are left out.
WITH launches AS (
    SELECT model AS launched, min(week) AS began FROM units GROUP BY model
),
near_launch AS (
    SELECT l.launched AS launched, l.began AS began, u.unit AS unit, u.model AS used,
        CASE WHEN date_diff('day', l.began, u.week) < 0 THEN 0 ELSE 1 END AS later, sum(u.requests) AS t
    FROM launches AS l
    CROSS JOIN units AS u
    WHERE date_diff('day', l.began, u.week) BETWEEN -28 AND -7 OR date_diff('day', l.began, u.week) BETWEEN 7 AND 28
    GROUP BY l.launched, l.began, u.unit, u.model, CASE WHEN date_diff('day', l.began, u.week) < 0 THEN 0 ELSE 1 END
),
ranked AS (
    SELECT launched, began, unit, used, later,
        row_number() OVER (PARTITION BY launched, unit, later ORDER BY t DESC, used) AS place,
        t, sum(t) OVER (PARTITION BY launched, unit, later) AS of_all
    FROM near_launch
)
SELECT b.launched AS launched, b.began AS began, b.used AS came_from, a.used AS went_to, count(*) AS n
FROM ranked AS b
JOIN ranked AS a ON b.launched = a.launched AND b.unit = a.unit
WHERE b.later = 0 AND a.later = 1 AND b.place = 1 AND a.place = 1 AND b.t >= 4 AND a.t >= 4 AND 2 * b.t >= b.of_all AND 2 * a.t >= a.of_all
GROUP BY b.launched, b.began, b.used, a.used
ORDER BY launched, came_from, went_to
