-- Answers of a provider that the ledger holds more than once.
SELECT first_day AS day, count(*) AS answers, CAST(sum(n - 1) AS BIGINT) AS extra, CAST(sum(twice) AS BIGINT) AS cost
FROM (
    SELECT min(day) AS first_day, provider, upstream_id, count(*) AS n, sum(billed_nanousd) - max(billed_nanousd) AS twice
    FROM {generations}
    WHERE upstream_id IS NOT NULL
    GROUP BY provider, upstream_id
    HAVING count(*) > 1
) AS each_answer
GROUP BY first_day
