-- How long after an answer its feedback came, at the least: a negative time is a clock that is wrong.
SELECT g.day AS day, g.key_id AS key_id, count(*) AS n,
    count(*) FILTER (WHERE f.noted_ms < g.created_ms + g.duration_ms) AS before_the_end,
    min(f.noted_ms - g.created_ms - g.duration_ms) AS soonest_ms
FROM {feedback} AS f
JOIN {generations} AS g ON f.generation_id = g.id
GROUP BY g.day, g.key_id
