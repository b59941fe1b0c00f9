-- Write a batch of outcomes, each whole or not at all, and return the ordinals of those that were written.
-- A row counts as `mine` by its lease and its version; one that somebody else's transaction holds is passed over, not waited for,
-- and so is one whose ctid changed just before it was locked (by a heartbeat).
WITH given AS MATERIALIZED (
  SELECT *
    FROM json_to_recordset(%(outcomes)s::json) AS o (
         ordinal int, slug text, lease_id text, version bigint, gone boolean,
         kind text, payload bytea, payload_version bigint, trigger text, trigger_from text, options jsonb, metadata jsonb,
         state text, paused boolean, anchor timestamptz, run_at timestamptz, due_at timestamptz, retry_at timestamptz,
         attempt bigint, first_run_at timestamptz, crashes bigint, fires bigint, ended_at timestamptz, owed timestamptz[],
         request text, result text, last_error text, updated_at timestamptz)
), mine AS MATERIALIZED (
  SELECT t.tid, o.*
    FROM given o
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = o.slug AND t.lease_id = o.lease_id AND t.version = o.version
       LIMIT 1
         FOR UPDATE SKIP LOCKED) t
), removed AS (
  DELETE FROM {schema}.tasks t
   USING mine m
   WHERE t.ctid = ANY (ARRAY (SELECT tid FROM mine WHERE gone)) AND t.slug = m.slug
  RETURNING m.ordinal
), written AS (
  UPDATE {schema}.tasks t
     SET kind = m.kind,
         -- Unchanged bytes stay where they are: a great payload is not copied at every fire.
         payload = CASE WHEN t.payload = m.payload THEN t.payload ELSE m.payload END,
         payload_version = m.payload_version,
         trigger = m.trigger,
         trigger_from = m.trigger_from,
         options = m.options,
         metadata = m.metadata,
         state = m.state,
         paused = m.paused,
         anchor = m.anchor,
         run_at = m.run_at,
         due_at = m.due_at,
         retry_at = m.retry_at,
         attempt = m.attempt,
         first_run_at = m.first_run_at,
         crashes = m.crashes,
         fires = m.fires,
         ended_at = m.ended_at,
         owed = m.owed,
         lease_id = NULL,
         last_lease = t.lease_id,
         node = NULL,
         locked_at = NULL,
         request = m.request,
         result = m.result,
         last_error = m.last_error,
         version = t.version + 1,
         updated_at = m.updated_at
    FROM mine m
   WHERE t.ctid = ANY (ARRAY (SELECT tid FROM mine WHERE NOT gone)) AND t.slug = m.slug
  -- What is handed back due at once is for other nodes: whoever locks in the same call takes it itself.
  RETURNING m.ordinal, CASE WHEN %(handing_back)s AND t.due_at <= %(now)s THEN pg_notify(%(channel)s, '') END
), accepted AS MATERIALIZED (
  SELECT ordinal FROM removed UNION ALL SELECT ordinal FROM written
), history AS (
  INSERT INTO {schema}.runs (namespace, id, slug, kind, fire_time, attempt, node, started_at, finished_at, status, count, error, result)
  SELECT %(namespace)s, r.id, r.slug, r.kind, r.fire_time, r.attempt, r.node, r.started_at, r.finished_at, r.status, r.count, r.error, r.result
    FROM json_to_recordset(%(runs)s::json) AS r (
         ordinal int, id text, slug text, kind text, fire_time timestamptz, attempt bigint, node text, started_at timestamptz,
         finished_at timestamptz, status text, count bigint, error text, result text)
   WHERE r.ordinal IN (SELECT ordinal FROM accepted)
      ON CONFLICT (namespace, id) DO NOTHING
), wanted AS MATERIALIZED (
  SELECT s.*
    FROM json_to_recordset(%(spawn)s::json) AS s (
         ordinal int, slug text, kind text, payload bytea, payload_version bigint, trigger text, trigger_from text, options jsonb,
         metadata jsonb, paused boolean, anchor timestamptz, run_at timestamptz)
   WHERE s.ordinal IN (SELECT ordinal FROM accepted)
   ORDER BY s.slug
), aside AS MATERIALIZED (
  -- What was set aside gives way to what is spawned, and its versions go on.
  SELECT t.*
    FROM wanted s
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid, t.slug, t.version
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = s.slug AND t.state = 'failed' AND t.due_at IS NULL
       LIMIT 1
         FOR UPDATE) t
), displaced AS (
  DELETE FROM {schema}.tasks t WHERE t.ctid = ANY (ARRAY (SELECT tid FROM aside)) RETURNING t.slug
), spawned AS (
  INSERT INTO {schema}.tasks (
         namespace, slug, kind, payload, payload_version, trigger, trigger_from, options, metadata, paused, anchor, run_at, due_at,
         state, attempt, crashes, fires, request, version, created_at, updated_at)
  SELECT %(namespace)s, s.slug, s.kind, s.payload, s.payload_version, s.trigger, s.trigger_from, s.options, s.metadata, s.paused,
         s.anchor, s.run_at, CASE WHEN NOT s.paused THEN s.run_at END,
         'scheduled', 0, 0, 0, 'none', coalesce(aside.version, 0) + 1, %(now)s, %(now)s
    FROM wanted s
    LEFT JOIN aside USING (slug)
   -- Counting removes what is to be removed first, so that a task that ends may spawn its own slug anew.
   WHERE (SELECT count(*) FROM accepted) > 0 AND (SELECT count(*) FROM displaced) >= 0
   ORDER BY s.slug
      ON CONFLICT (namespace, slug) DO NOTHING
  RETURNING CASE WHEN due_at <= %(now)s + interval '1 minute' THEN pg_notify(%(channel)s, '') END
)
SELECT ordinal FROM accepted
