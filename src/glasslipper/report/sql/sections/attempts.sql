SELECT provider, status, sum(attempts) AS n, sum(duration_ms) AS ms, sum(billed_nanousd) AS c FROM tries GROUP BY provider, status ORDER BY provider, status
