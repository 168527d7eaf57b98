SELECT labelled, judged, sum(n) AS times FROM gold GROUP BY labelled, judged ORDER BY labelled, judged
