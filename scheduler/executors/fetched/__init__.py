"""Fetched kinds: a program reads and acknowledges their tasks; no job runs them."""
