SELECT model, sum(tokens) AS t, sum(thought) AS z, sum(completion) AS o FROM usage WHERE reasoning GROUP BY model ORDER BY t DESC, model
