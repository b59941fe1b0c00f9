-- What exists is left alone, unless it was set aside: that gives way, and its versions go on in the new one.
-- In slug order, so that two batches never wait for each other in a circle.
WITH given AS MATERIALIZED (
  SELECT *
    FROM json_to_recordset(%(tasks)s::json) AS s (
         slug text, kind text, payload bytea, payload_version bigint, trigger text, trigger_from text, options jsonb,
         metadata jsonb, paused boolean, anchor timestamptz, run_at timestamptz)
   ORDER BY slug
), aside AS MATERIALIZED (
  SELECT t.*
    FROM given s
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid, t.slug, t.version
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = s.slug AND t.state = 'failed' AND t.due_at IS NULL
       LIMIT 1
         FOR UPDATE) t
), gone AS (
  DELETE FROM {schema}.tasks t WHERE t.ctid = ANY (ARRAY (SELECT tid FROM aside)) RETURNING t.slug
), created AS (
  INSERT INTO {schema}.tasks (
         namespace, slug, kind, payload, payload_version, trigger, trigger_from, options, metadata, paused, anchor, run_at, due_at,
         state, attempt, crashes, fires, request, version, created_at, updated_at)
  SELECT %(namespace)s, s.slug, s.kind, s.payload, s.payload_version, s.trigger, s.trigger_from, s.options, s.metadata, s.paused,
         s.anchor, s.run_at, CASE WHEN NOT s.paused THEN s.run_at END,
         'scheduled', 0, 0, 0, 'none', coalesce(aside.version, 0) + 1, %(now)s, %(now)s
    FROM given s
    LEFT JOIN aside USING (slug)
   -- Counting `gone` removes what gives way before its slug is taken.
   WHERE (SELECT count(*) FROM gone) >= 0
   ORDER BY s.slug
      ON CONFLICT (namespace, slug) DO NOTHING
  RETURNING slug, due_at
), told AS (
  SELECT pg_notify(%(channel)s, '') WHERE EXISTS (SELECT FROM created WHERE due_at <= %(now)s + interval '1 minute')
)
SELECT slug FROM created WHERE (SELECT count(*) FROM told) >= 0
