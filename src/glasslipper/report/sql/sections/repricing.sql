SELECT model, sum(units_input + units_cache_write + units_cache_write_1h + units_input_audio + units_input_image) AS went_in,
    sum(units_cache_read) AS cached, sum(units_output + units_reasoning + units_output_audio + units_output_image) AS came_out,
    sum(billed) AS c, sum(requests) AS n
FROM priced
GROUP BY model
ORDER BY c DESC, model
