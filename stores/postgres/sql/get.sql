-- Those of the slugs that exist, in no particular order.
SELECT t.*
  FROM unnest(%(slugs)s::text[]) AS asked (slug)
 CROSS JOIN LATERAL (
    SELECT {task} FROM {schema}.tasks t WHERE t.namespace = %(namespace)s AND t.slug = asked.slug LIMIT 1) t
