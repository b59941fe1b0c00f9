-- Delete runs that finished before an instant, and those older than the newest so many of their task; the oldest first.
-- `slugs` hops from slug to slug by the index, and the runs of each to be kept are skipped by it: what stays is not read.
WITH RECURSIVE slugs (slug) AS (
  (SELECT r.slug FROM {schema}.runs r WHERE r.namespace = %(namespace)s AND %(keep)s::bigint IS NOT NULL ORDER BY r.slug LIMIT 1)
   UNION ALL
  SELECT (SELECT r.slug FROM {schema}.runs r WHERE r.namespace = %(namespace)s AND r.slug > slugs.slug ORDER BY r.slug LIMIT 1)
    FROM slugs
   WHERE slugs.slug IS NOT NULL
), too_many AS (
  SELECT old.finished_at, old.id, old.tid
    FROM slugs
   CROSS JOIN LATERAL (
      SELECT r.finished_at, r.id
        FROM {schema}.runs r
       WHERE r.namespace = %(namespace)s AND r.slug = slugs.slug
       ORDER BY r.finished_at DESC, r.id DESC
      OFFSET %(keep)s::bigint LIMIT 1) newest
   CROSS JOIN LATERAL (
      SELECT r.finished_at, r.id, r.ctid AS tid
        FROM {schema}.runs r
       WHERE r.namespace = %(namespace)s AND r.slug = slugs.slug AND (r.finished_at, r.id) <= (newest.finished_at, newest.id)
       ORDER BY r.finished_at, r.id
       LIMIT %(limit)s) old
), too_old AS (
  SELECT r.finished_at, r.id, r.ctid
    FROM {schema}.runs r
   WHERE r.namespace = %(namespace)s AND r.finished_at < %(before)s::timestamptz
   ORDER BY r.finished_at, r.id
   LIMIT %(limit)s
), doomed AS MATERIALIZED (
  SELECT tid FROM (SELECT * FROM too_many UNION SELECT * FROM too_old) old ORDER BY finished_at, id LIMIT %(limit)s
), deleted AS (
  DELETE FROM {schema}.runs r WHERE r.ctid = ANY (ARRAY (SELECT tid FROM doomed)) RETURNING r.id
)
SELECT count(*) FROM deleted
