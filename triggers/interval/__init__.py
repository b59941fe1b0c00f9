"""Lengths of time on the calendar and the clock, and their texts."""
