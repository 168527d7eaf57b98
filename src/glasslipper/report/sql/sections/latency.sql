SELECT provider, measure, bucket, sum(requests) AS n FROM latencies GROUP BY provider, measure, bucket ORDER BY provider, measure, bucket
