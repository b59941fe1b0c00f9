-- Lock those of some tasks that were set aside, before the statement that lets them give way, which removes them by their ctid:
-- what somebody edited while that one waited for it would have another one, and stay in the way.
-- In slug order, so that two batches never wait for each other in a circle.
WITH given AS MATERIALIZED (
  SELECT slug FROM unnest(%(slugs)s::text[]) AS s (slug) ORDER BY slug
)
SELECT t.slug
  FROM given s
 CROSS JOIN LATERAL (
    SELECT t.slug
      FROM {schema}.tasks t
     WHERE t.namespace = %(namespace)s AND t.slug = s.slug AND t.state = 'failed' AND t.due_at IS NULL
     LIMIT 1
       FOR UPDATE) t
