-- All or none: a slug that exists fails the statement, unless its task was set aside.
-- In slug order, so that two batches never wait for each other in a circle.
WITH wanted AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%(tasks)s::json) AS s ({definition}) ORDER BY slug
), {new_tasks}
  RETURNING slug, due_at
), told AS (
  SELECT pg_notify(%(channel)s, '') WHERE EXISTS (SELECT FROM created WHERE due_at <= %(now)s + interval '1 minute')
)
SELECT slug FROM created WHERE (SELECT count(*) FROM told) >= 0
