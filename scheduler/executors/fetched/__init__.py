"""Fetched kinds: their tasks are read and acknowledged by the program instead of run by a job."""
