-- Give a node what it wants of the slots that no other node holds. Whoever asks for the same kind waits until this is committed
-- (the key given to `enter`), so that two nodes never count the same slot as free. Slots whose node died are cleared on the way.
WITH ended AS (
  DELETE FROM {schema}.slots s WHERE s.namespace = %(namespace)s AND s.kind = %(kind)s AND s.node <> %(node)s AND s.until <= %(now)s
), taken AS (
  SELECT coalesce(sum(s.count), 0) AS count
    FROM {schema}.slots s
   WHERE s.namespace = %(namespace)s AND s.kind = %(kind)s AND s.node <> %(node)s AND s.until > %(now)s
)
INSERT INTO {schema}.slots (namespace, kind, node, count, until)
SELECT %(namespace)s, %(kind)s, %(node)s, greatest(0, least(%(want)s::bigint, %(total)s::bigint - taken.count)), %(until)s FROM taken
    ON CONFLICT (namespace, kind, node) DO UPDATE SET count = excluded.count, until = excluded.until
RETURNING count
