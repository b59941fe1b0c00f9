-- Write edits, each of the version it was made on, and return the tasks as they are now.
-- A lease stays as it is: its end may have moved since the task was read, and its holder's state is not for others to write.
-- Rows are locked in slug order, so that two batches never wait for each other in a circle. One that a heartbeat moved just before it
-- was locked is left out, though its version is the one named.
WITH given AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(tasks)s::json) AS e (version bigint, {progress_types}) ORDER BY slug
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
     SET {progress},
         state = CASE WHEN t.lease_id IS NOT NULL THEN 'running' WHEN n.state = 'failed' THEN 'failed' ELSE 'scheduled' END,
         due_at = CASE WHEN t.lease_id IS NOT NULL THEN t.due_at
                       WHEN n.request = 'run_now' OR (NOT n.paused AND n.state <> 'failed') THEN coalesce(n.retry_at, n.run_at) END,
         updated_at = %(now)s
    FROM unchanged n
   WHERE t.ctid = ANY (ARRAY (SELECT tid FROM unchanged)) AND t.slug = n.slug
  RETURNING {task}
), told AS (
  SELECT pg_notify(%(channel)s, '')
   WHERE EXISTS (SELECT FROM edited WHERE due_at <= %(now)s + interval '1 minute' OR request <> 'none')
)
SELECT edited.* FROM edited WHERE (SELECT count(*) FROM told) >= 0
