SELECT turns, sum(sessions) AS n, sum(requests) AS calls, sum(cost) AS c, sum(tool_calls) AS z FROM sessions GROUP BY turns ORDER BY turns
