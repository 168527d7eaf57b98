SELECT author, source, task, tag, sum(requests) AS n, sum(tokens) AS t FROM tags GROUP BY author, source, task, tag ORDER BY author, source, task, tag
