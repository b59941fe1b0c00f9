-- What follows in this transaction is planned for its own values, and may sort: it may be served best by one index or by another.
-- Not for what a node lives on, which has one plan whatever the statistics say.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_sort', 'on', true)
