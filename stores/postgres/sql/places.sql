-- Give a node what it wants of the places that no other node holds. Whoever asks for the same kind waits until this is committed
-- (the key given to `enter`), so that two nodes never count the same place as free. Places whose node died are cleared on the way.
WITH ended AS (
  DELETE FROM {schema}.places p WHERE p.namespace = %(namespace)s AND p.kind = %(kind)s AND p.node <> %(node)s AND p.until <= %(now)s
), taken AS (
  SELECT coalesce(sum(p.count), 0) AS count
    FROM {schema}.places p
   WHERE p.namespace = %(namespace)s AND p.kind = %(kind)s AND p.node <> %(node)s AND p.until > %(now)s
)
INSERT INTO {schema}.places (namespace, kind, node, count, until)
SELECT %(namespace)s, %(kind)s, %(node)s, greatest(0, least(%(want)s::bigint, %(total)s::bigint - taken.count)), %(until)s FROM taken
    ON CONFLICT (namespace, kind, node) DO UPDATE SET count = excluded.count, until = excluded.until
RETURNING count
