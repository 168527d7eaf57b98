SELECT year(week) * 12 + month(week) - 1 AS month_number, count(DISTINCT week) AS weeks FROM units GROUP BY year(week) * 12 + month(week) - 1 ORDER BY month_number
