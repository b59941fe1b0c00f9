-- Write a batch of outcomes, each whole or not at all, and return the ordinals of those that were written.
-- A row counts as `mine` by its lease and its version; one that somebody else's transaction holds is passed over, not waited for,
-- and so is one whose ctid changed just before it was locked (by a heartbeat).
WITH given AS MATERIALIZED (
  SELECT *
    FROM json_to_recordset(%(outcomes)s::json) AS o (
         ordinal int, lease_id text, version bigint, gone boolean, due_at timestamptz, updated_at timestamptz, {progress_types})
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
     SET {progress},
         state = n.state,
         due_at = n.due_at,
         lease_id = NULL,
         last_lease = t.lease_id,
         node = NULL,
         instance = NULL,
         locked_at = NULL,
         updated_at = n.updated_at
    FROM mine n
   WHERE t.ctid = ANY (ARRAY (SELECT tid FROM mine WHERE NOT gone)) AND t.slug = n.slug
  -- What is handed back due at once is for other nodes: whoever locks in the same call takes it anyway.
  RETURNING n.ordinal, CASE WHEN %(handing_back)s AND t.due_at <= %(now)s THEN pg_notify(%(channel)s, '') END
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
  -- Reading `accepted` removes what ends before anything is created, so that a task that ends may spawn its own slug anew.
  SELECT s.*
    FROM json_to_recordset(%(spawn)s::json) AS s (ordinal int, {definition})
   WHERE s.ordinal IN (SELECT ordinal FROM accepted)
   ORDER BY s.slug
), {new_tasks}
      ON CONFLICT (namespace, slug) DO NOTHING
  RETURNING CASE WHEN due_at <= %(now)s + interval '1 minute' THEN pg_notify(%(channel)s, '') END
)
SELECT ordinal FROM accepted
