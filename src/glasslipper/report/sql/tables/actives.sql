-- One row for each unit, model and month in which it used the model; months are those of the weeks' Mondays, counted from year 0.
SELECT unit, model, year(week) * 12 + month(week) - 1 AS month_number, sum(requests) AS times
FROM units
GROUP BY unit, model, year(week) * 12 + month(week) - 1
