SELECT models_used, count(*) AS n FROM (SELECT unit, count(DISTINCT model) AS models_used FROM units GROUP BY unit) AS each_unit GROUP BY models_used ORDER BY models_used
