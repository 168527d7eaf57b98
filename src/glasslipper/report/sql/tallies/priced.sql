-- What was used and billed by price row: the base of re-pricing, elasticity and price errors.
SELECT day, model_used AS model, provider, endpoint, price_id, is_byok,
    id IN (SELECT generation_id FROM {attempts} WHERE number > 0) AS retried, count(*) AS requests,
    CAST(sum(usage_input) AS BIGINT) AS units_input,
    CAST(sum(usage_cache_read) AS BIGINT) AS units_cache_read,
    CAST(sum(usage_cache_write) AS BIGINT) AS units_cache_write,
    CAST(sum(usage_cache_write_1h) AS BIGINT) AS units_cache_write_1h,
    CAST(sum(usage_input_audio) AS BIGINT) AS units_input_audio,
    CAST(sum(usage_input_image) AS BIGINT) AS units_input_image,
    CAST(sum(usage_output) AS BIGINT) AS units_output,
    CAST(sum(usage_reasoning) AS BIGINT) AS units_reasoning,
    CAST(sum(usage_output_audio) AS BIGINT) AS units_output_audio,
    CAST(sum(usage_output_image) AS BIGINT) AS units_output_image,
    CAST(sum(usage_requests) AS BIGINT) AS units_requests,
    CAST(sum(usage_searches) AS BIGINT) AS units_searches,
    CAST(sum(usage_cpu_us) AS BIGINT) AS units_cpu_us,
    CAST(sum(billed_nanousd) AS BIGINT) AS billed
FROM {generations}
GROUP BY day, model_used, provider, endpoint, price_id, is_byok,
    id IN (SELECT generation_id FROM {attempts} WHERE number > 0)
