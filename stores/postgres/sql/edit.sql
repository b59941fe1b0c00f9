-- Write edits, each of the version it was made on, and return the tasks as they are now.
-- A lease stays as it is: its end may have moved since the task was read, and its holder's state is not for others to write.
-- Rows are locked in slug order, so that two batches never wait for each other in a circle. One that a heartbeat moved just before it
-- was locked is left out, though its version is the one named.
WITH given AS MATERIALIZED (
  SELECT *
    FROM json_to_recordset(%(tasks)s::json) AS e (
         slug text, version bigint,
         kind text, payload bytea, payload_version bigint, trigger text, trigger_from text, options jsonb, metadata jsonb,
         state text, paused boolean, anchor timestamptz, run_at timestamptz, retry_at timestamptz,
         attempt bigint, first_run_at timestamptz, crashes bigint, fires bigint, ended_at timestamptz, owed timestamptz[],
         request text, result text, last_error text)
   ORDER BY slug
), unchanged AS MATERIALIZED (
  SELECT t.tid, e.*
    FROM given e
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = e.slug AND t.version = e.version
       LIMIT 1
         FOR UPDATE) t
), edited AS (
  UPDATE {schema}.tasks t
     SET kind = e.kind,
         payload = CASE WHEN t.payload = e.payload THEN t.payload ELSE e.payload END,
         payload_version = e.payload_version,
         trigger = e.trigger,
         trigger_from = e.trigger_from,
         options = e.options,
         metadata = e.metadata,
         state = CASE WHEN t.lease_id IS NOT NULL THEN 'running' WHEN e.state = 'failed' THEN 'failed' ELSE 'scheduled' END,
         paused = e.paused,
         anchor = e.anchor,
         run_at = e.run_at,
         due_at = CASE WHEN t.lease_id IS NOT NULL THEN t.due_at
                       WHEN e.request = 'run_now' OR (NOT e.paused AND e.state <> 'failed') THEN coalesce(e.retry_at, e.run_at) END,
         retry_at = e.retry_at,
         attempt = e.attempt,
         first_run_at = e.first_run_at,
         crashes = e.crashes,
         fires = e.fires,
         ended_at = e.ended_at,
         owed = e.owed,
         request = e.request,
         result = e.result,
         last_error = e.last_error,
         version = t.version + 1,
         updated_at = %(now)s
    FROM unchanged e
   WHERE t.ctid = ANY (ARRAY (SELECT tid FROM unchanged)) AND t.slug = e.slug
  RETURNING {task}
), told AS (
  SELECT pg_notify(%(channel)s, '')
   WHERE EXISTS (SELECT FROM edited WHERE due_at <= %(now)s + interval '1 minute' OR request <> 'none')
)
SELECT edited.* FROM edited WHERE (SELECT count(*) FROM told) >= 0
