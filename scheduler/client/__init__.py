"""The half that only schedules, edits and asks: a store, a clock and a registry; imports no node."""
