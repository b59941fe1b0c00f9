-- The earliest due instant of each kind is the first entry of its part of the index; the earliest of these is the answer.
-- As for a lock, a task that needs a newer node does not count. An instant beyond all calendars, which somebody wrote by hand, is told
-- as the nearest one that every language knows.
SELECT CASE WHEN count(t.due_at) > 0 THEN greatest(least(min(t.due_at), '9999-12-30 00:00:00+00'), '0001-01-02 00:00:00+00') END
  FROM unnest(%(kinds)s::text[]) AS asked (kind)
 CROSS JOIN LATERAL (
    SELECT t.due_at
      FROM {schema}.tasks t
     WHERE t.namespace = %(namespace)s AND t.kind = asked.kind AND t.due_at IS NOT NULL AND t.needs <= %(known)s::int
     ORDER BY t.due_at, t.slug
     LIMIT 1) t
