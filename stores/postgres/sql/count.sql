-- How many tasks `search` would find on all its pages together: the same conditions.
SELECT count(*)
  FROM {schema}.tasks t
 WHERE t.namespace = %(namespace)s AND t.slug >= %(first)s AND t.slug < %(end)s
   AND (%(kinds)s::text[] IS NULL OR t.kind = ANY (%(kinds)s::text[]))
   AND (%(states)s::text[] IS NULL OR t.state = ANY (%(states)s::text[]))
   AND (%(paused)s::boolean IS NULL OR t.paused = %(paused)s::boolean)
   AND (%(contains)s::text = '' OR strpos(t.slug, %(contains)s::text) > 0)
   AND (%(metadata)s::jsonb IS NULL OR t.metadata @> %(metadata)s::jsonb)
   AND (%(due_from)s::timestamptz IS NULL OR t.due_at >= %(due_from)s::timestamptz)
   AND (%(due_until)s::timestamptz IS NULL OR t.due_at < %(due_until)s::timestamptz)
