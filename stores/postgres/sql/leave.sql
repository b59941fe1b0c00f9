-- A node that takes its leave is not listed any more.
DELETE FROM {schema}.nodes WHERE namespace = %(namespace)s AND name = %(name)s RETURNING name
