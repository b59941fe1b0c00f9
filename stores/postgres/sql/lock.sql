-- Lock what is due, each kind by itself in index order, and record the runs that were lost with the leases which have ended.
-- A task that needs a newer node is passed over by the index alone. So is one whose run the asking node still has: its lease has ended,
-- as after a sleep of the node, and it may come back to life by the next heartbeat.
-- `again` finds what the same request locked before: its leases end when the request says, and start with its token. It asks for a
-- range and an order, which only the index on due instants gives.
-- The pick is a MATERIALIZED step, and the UPDATE goes to the rows that it locked by their ctid: in the shapes
-- `IN (SELECT ... LIMIT)` and `FROM (SELECT ... LIMIT)` a planner with stale statistics may repeat the pick, and lock far more than
-- the limit. No row makes the statement fail, so that none keeps its neighbours from being locked: the counts of a row that somebody
-- wrote by hand stop at the greatest bigint. A row that changed just before it was locked has another one and is passed over this time.
WITH again AS MATERIALIZED (
  SELECT t.tid
    FROM unnest(%(kinds)s::text[], %(rooms)s::bigint[]) AS asked (kind, room)
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.kind = asked.kind AND t.due_at BETWEEN %(until)s AND %(until)s
         AND starts_with(t.lease_id, %(token)s::text || '.')
       ORDER BY t.due_at, t.slug
       LIMIT asked.room) t
), due AS MATERIALIZED (
  SELECT asked.ordinal, t.*
    FROM unnest(%(kinds)s::text[], %(rooms)s::bigint[]) WITH ORDINALITY AS asked (kind, room, ordinal)
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid, t.slug, t.kind, t.due_at, t.run_at, t.attempt, t.lease_id, t.node, t.locked_at
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.kind = asked.kind AND t.due_at <= %(now)s AND t.needs <= %(known)s::int
         AND (t.lease_id IS NULL OR %(take_over)s AND t.lease_id <> ALL (%(live)s::text[]))
       ORDER BY t.due_at, t.slug
       LIMIT asked.room
         FOR UPDATE SKIP LOCKED) t
   WHERE NOT EXISTS (SELECT FROM again)
), numbered AS MATERIALIZED (
  SELECT slug, row_number() OVER (ORDER BY ordinal, due_at, slug) - 1 AS number FROM due
), locked AS (
  UPDATE {schema}.tasks t
     SET state = 'running',
         node = %(node)s,
         instance = %(instance)s,
         lease_id = %(token)s::text || '.' || numbered.number,
         locked_at = %(now)s,
         due_at = %(until)s,
         retry_at = NULL,
         attempt = least(t.attempt, 9223372036854775806) + 1,
         first_run_at = coalesce(t.first_run_at, %(now)s),
         crashes = least(t.crashes, 9223372036854775806) + (t.lease_id IS NOT NULL)::int,
         ended_at = CASE WHEN t.lease_id IS NULL THEN t.ended_at ELSE t.due_at END,
         idle_since = CASE WHEN t.lease_id IS NULL THEN t.idle_since ELSE t.due_at END,
         version = least(t.version, 9223372036854775806) + 1,
         updated_at = %(now)s
    FROM numbered
   WHERE t.ctid = ANY (ARRAY (SELECT tid FROM due)) AND t.slug = numbered.slug
  RETURNING {task}
), lost AS (
  INSERT INTO {schema}.runs (namespace, id, slug, kind, fire_time, attempt, node, started_at, finished_at, status, count, error)
  SELECT %(namespace)s, lease_id, slug, kind, run_at, attempt, node, locked_at, due_at, 'lost', 1, format(%(lost_reason)s, node)
    FROM due
   WHERE lease_id IS NOT NULL AND slug IN (SELECT slug FROM locked)
      ON CONFLICT (namespace, id) DO NOTHING
)
SELECT * FROM locked
 UNION ALL
SELECT {task} FROM {schema}.tasks t WHERE t.ctid = ANY (ARRAY (SELECT tid FROM again))
