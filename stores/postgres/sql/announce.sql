-- What a node says of itself replaces what it said before.
INSERT INTO {schema}.nodes (namespace, name, kinds, started_at, seen_at, until, info, instance)
VALUES (%(namespace)s, %(name)s, %(kinds)s::text[], %(started_at)s, %(seen_at)s, %(until)s, %(info)s::jsonb, %(instance)s)
    ON CONFLICT (namespace, name) DO UPDATE
   SET kinds = excluded.kinds, started_at = excluded.started_at, seen_at = excluded.seen_at, until = excluded.until, info = excluded.info,
       instance = excluded.instance
RETURNING name
