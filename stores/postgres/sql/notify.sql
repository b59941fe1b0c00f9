-- How a listener finds out whether it hears: only the payload's author minds it.
SELECT pg_notify(%(channel)s, %(payload)s)
