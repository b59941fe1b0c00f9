-- So many at a time that each statement stays short, in slug order as all who lock several rows.
WITH found AS MATERIALIZED (
  SELECT t.ctid AS tid FROM {schema}.tasks t WHERE t.namespace = %(namespace)s ORDER BY t.slug LIMIT %(limit)s FOR UPDATE
), deleted AS (
  DELETE FROM {schema}.tasks t WHERE t.ctid = ANY (ARRAY (SELECT tid FROM found)) RETURNING t.slug
)
SELECT (SELECT count(*) FROM found), (SELECT count(*) FROM deleted)
