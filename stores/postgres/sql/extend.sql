-- Skip rows that somebody else's transaction holds: one open transaction must not stop a node's heartbeat.
-- The lease id, not the node, decides: a restarted node may carry the same name.
WITH held AS MATERIALIZED (
  SELECT slug, lease_id, ordinal
    FROM unnest(%(slugs)s::text[], %(leases)s::text[]) WITH ORDINALITY AS held (slug, lease_id, ordinal)
), mine AS MATERIALIZED (
  SELECT held.ordinal, held.slug, t.tid
    FROM held
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = held.slug AND t.lease_id = held.lease_id
       LIMIT 1
         FOR UPDATE SKIP LOCKED) t
), extended AS (
  UPDATE {schema}.tasks t
     SET due_at = greatest(t.due_at, %(until)s)
    FROM mine m
   WHERE t.ctid = ANY (ARRAY (SELECT tid FROM mine)) AND t.slug = m.slug
  RETURNING m.ordinal, t.version, t.request
)
SELECT held.ordinal - 1, extended.version, extended.request = 'stop', ours.slug IS NOT NULL
  FROM held
  LEFT JOIN extended USING (ordinal)
  -- Held still, as far as can be seen from outside: then somebody is just busy with the row.
  LEFT JOIN LATERAL (
      SELECT t.slug
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = held.slug AND t.lease_id = held.lease_id AND extended.ordinal IS NULL
       LIMIT 1) ours ON true
 ORDER BY held.ordinal
