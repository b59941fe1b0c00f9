"""Answers for probes: alive, ready, started; calls what `duly.scheduler` exports, and nothing imports it."""
