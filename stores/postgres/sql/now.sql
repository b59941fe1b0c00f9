-- The cluster's clock, not frozen at the start of a transaction.
SELECT clock_timestamp()
