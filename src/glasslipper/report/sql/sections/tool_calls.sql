SELECT week, sum(tool_tokens) AS called, sum(offered_tokens) AS offered, sum(tokens) AS t, sum(tool_requests) AS n FROM usage GROUP BY week ORDER BY week
