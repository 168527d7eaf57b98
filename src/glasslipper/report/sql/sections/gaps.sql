SELECT sum(requests) AS n, sum(unclassified) AS z, sum(estimated_usage) AS e, sum(without_usage) AS u, sum(unpriced) AS p, sum(impossible_times) AS i FROM gaps
