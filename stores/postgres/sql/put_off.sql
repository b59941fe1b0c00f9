-- Give back what was just locked, and turned out to be of another version: its run is not begun, its attempt refunded, and nothing
-- else of it changes. It is due again after a pause, in which a node that can read it may come; a paused task when it is resumed.
-- A row that somebody else's transaction holds is passed over, as in a heartbeat: its lease ends by itself.
WITH given AS MATERIALIZED (
  SELECT slug, lease_id, until
    FROM unnest(%(slugs)s::text[], %(leases)s::text[], %(ends)s::timestamptz[]) AS g (slug, lease_id, until)
), mine AS MATERIALIZED (
  SELECT g.slug, g.until, t.tid
    FROM given g
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = g.slug AND t.lease_id = g.lease_id
       LIMIT 1
         FOR UPDATE SKIP LOCKED) t
)
UPDATE {schema}.tasks t
   SET state = 'scheduled',
       lease_id = NULL,
       last_lease = t.lease_id,
       node = NULL,
       instance = NULL,
       locked_at = NULL,
       attempt = t.attempt - 1,
       first_run_at = CASE WHEN t.attempt > 1 OR t.first_run_at <> t.locked_at THEN t.first_run_at END,
       due_at = CASE WHEN NOT t.paused OR t.request = 'run_now' THEN m.until END,
       version = least(t.version, 9223372036854775806) + 1,
       updated_at = %(now)s
  FROM mine m
 WHERE t.ctid = ANY (ARRAY (SELECT tid FROM mine)) AND t.slug = m.slug
RETURNING t.slug
