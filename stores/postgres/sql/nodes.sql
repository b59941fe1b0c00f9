-- Those that did not take their leave, whether they live or not.
SELECT n.name, n.kinds, n.started_at, n.seen_at, n.until, n.info::text, n.instance FROM {schema}.nodes n WHERE n.namespace = %(namespace)s ORDER BY n.name
