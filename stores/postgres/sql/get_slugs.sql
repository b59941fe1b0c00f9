-- A stretch of the primary key, in code-point order.
SELECT t.slug
  FROM {schema}.tasks t
 WHERE t.namespace = %(namespace)s AND t.slug >= %(first)s AND t.slug < %(end)s
 ORDER BY t.slug
 LIMIT %(limit)s
