-- The history of one task, newest first; the page ends by (finished_at, id).
SELECT {run}
  FROM {schema}.runs r
 WHERE r.namespace = %(namespace)s AND r.slug = %(slug)s
   AND (r.finished_at, r.id) < (coalesce(%(below)s::timestamptz, 'infinity'), %(below_id)s::text)
   AND r.finished_at >= coalesce(%(since)s::timestamptz, '-infinity') AND r.finished_at < coalesce(%(until)s::timestamptz, 'infinity')
   AND (%(first)s::text IS NULL OR r.slug >= %(first)s::text) AND (%(end)s::text IS NULL OR r.slug < %(end)s::text)
   AND (%(kinds)s::text[] IS NULL OR r.kind = ANY (%(kinds)s::text[]))
   AND (%(statuses)s::text[] IS NULL OR r.status = ANY (%(statuses)s::text[]))
   AND (%(node)s::text IS NULL OR r.node = %(node)s::text)
 ORDER BY r.finished_at DESC, r.id DESC
 LIMIT %(limit)s
