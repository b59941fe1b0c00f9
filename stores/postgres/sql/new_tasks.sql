-- A part of create, create_missing and reschedule: the tasks in `wanted` are written, each as the first version of itself.
-- A task that was set aside gives way to the one that takes its slug, and its versions go on in that.
aside AS MATERIALIZED (
  SELECT t.*
    FROM wanted s
   CROSS JOIN LATERAL (
      SELECT t.ctid AS tid, t.slug, t.version
        FROM {schema}.tasks t
       WHERE t.namespace = %(namespace)s AND t.slug = s.slug AND t.state = 'failed' AND t.due_at IS NULL
       LIMIT 1
         FOR UPDATE) t
), displaced AS (
  DELETE FROM {schema}.tasks t WHERE t.ctid = ANY (ARRAY (SELECT tid FROM aside)) RETURNING t.slug
), created AS (
  INSERT INTO {schema}.tasks (
         namespace, slug, kind, payload, payload_version, trigger, trigger_from, options, metadata, declared, needs, paused,
         anchor, run_at, run_at_from, due_at, state, attempt, crashes, fires, owed, request, version, created_at, updated_at)
  SELECT %(namespace)s, s.slug, s.kind, s.payload, s.payload_version, s.trigger, s.trigger_from, s.options, s.metadata, s.declared, s.needs,
         s.paused, s.anchor, s.run_at, s.run_at_from, CASE WHEN NOT s.paused THEN s.run_at END,
         'scheduled', 0, 0, 0, '{}', 'none', coalesce(aside.version, 0) + 1, %(now)s, %(now)s
    FROM wanted s
    LEFT JOIN aside USING (slug)
   -- Counting `displaced` removes what gives way before its slug is taken.
   WHERE (SELECT count(*) FROM displaced) >= 0
   ORDER BY s.slug
