-- Judged requests by what the classifier and the judge say of them, and by whose model served.
SELECT m.author AS author, m.source AS source, g.labelled AS labelled, g.labelled_tag AS labelled_tag,
    g.judged AS judged, g.judged_tag AS judged_tag, sum(g.n) AS times, sum(g.tokens) AS t, sum(g.squares) AS tt
FROM gold AS g
JOIN models AS m ON g.model = m.id
GROUP BY m.author, m.source, g.labelled, g.labelled_tag, g.judged, g.judged_tag
ORDER BY author, source, labelled, labelled_tag, judged, judged_tag
