"""Pure rules of a task's state: transitions, misfires, overlaps; used by every store, does no I/O."""
