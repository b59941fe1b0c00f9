-- Refuse a time that is too far ahead of the server's, before anything is written, and tell the server's time.
-- Calls with the same key take turns: a call that is repeated while its first attempt is still under way sees what that one did.
SELECT {schema}.enter(%(now)s::timestamptz, %(skew_limit)s::interval, %(key)s::text, %(lock_wait)s::interval)
