-- Delete the task if it is of the version named, or of any; tell what was found beside what was deleted.
WITH deleted AS (
  DELETE FROM {schema}.tasks t
   WHERE t.namespace = %(namespace)s AND t.slug = %(slug)s AND t.version = coalesce(%(version)s::bigint, t.version)
  RETURNING t.slug
)
SELECT (SELECT count(*) FROM deleted),
       (SELECT count(*) FROM {schema}.tasks t WHERE t.namespace = %(namespace)s AND t.slug = %(slug)s)
