"""Child processes: each runs one job at a time and is killed at its time limit."""
