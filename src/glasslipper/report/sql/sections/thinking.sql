SELECT task, sum(thought) AS z, sum(completion) AS o FROM usage WHERE reasoning AND task <> '' GROUP BY task ORDER BY task
