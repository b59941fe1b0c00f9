"""Answers for probes: alive, ready, started; uses only `duly.scheduler` exports; nothing imports it."""
