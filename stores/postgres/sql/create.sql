-- All or none: a slug that exists fails the statement. In slug order, so that two batches never wait for each other in a circle.
WITH created AS (
  INSERT INTO {schema}.tasks (
         namespace, slug, kind, payload, payload_version, trigger, trigger_from, options, metadata, paused, anchor, run_at, due_at,
         state, attempt, crashes, fires, request, version, created_at, updated_at)
  SELECT %(namespace)s, s.slug, s.kind, s.payload, s.payload_version, s.trigger, s.trigger_from, s.options, s.metadata, s.paused,
         s.anchor, s.run_at, CASE WHEN NOT s.paused THEN s.run_at END,
         'scheduled', 0, 0, 0, 'none', 1, %(now)s, %(now)s
    FROM json_to_recordset(%(tasks)s::json) AS s (
         slug text, kind text, payload bytea, payload_version bigint, trigger text, trigger_from text, options jsonb,
         metadata jsonb, paused boolean, anchor timestamptz, run_at timestamptz)
   ORDER BY s.slug
  RETURNING slug, due_at
), told AS (
  SELECT pg_notify(%(channel)s, '') WHERE EXISTS (SELECT FROM created WHERE due_at <= %(now)s + interval '1 minute')
)
SELECT slug FROM created WHERE (SELECT count(*) FROM told) >= 0
