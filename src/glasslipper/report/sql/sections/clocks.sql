SELECT key_id, day, sum(n) AS replies, sum(before_the_end) AS early, min(soonest_ms) AS soonest FROM clocks GROUP BY key_id, day ORDER BY key_id, day
