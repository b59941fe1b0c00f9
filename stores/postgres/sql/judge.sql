-- What tells why outcomes were not written: whether the history has a run of their holder's, and the rows as they are now.
SELECT asked.ordinal - 1, recorded.id IS NOT NULL, t.*
  FROM unnest(%(slugs)s::text[], %(leases)s::text[]) WITH ORDINALITY AS asked (slug, lease_id, ordinal)
  LEFT JOIN LATERAL (
      SELECT r.id
        FROM {schema}.runs r
       WHERE r.namespace = %(namespace)s AND r.id = asked.lease_id AND r.status <> 'lost'
       LIMIT 1) recorded ON true
  LEFT JOIN LATERAL (
      SELECT {task} FROM {schema}.tasks t WHERE t.namespace = %(namespace)s AND t.slug = asked.slug LIMIT 1) t ON true
 ORDER BY asked.ordinal
