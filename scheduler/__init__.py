"""Wiring: the only place that reads a clock and runs loops."""
