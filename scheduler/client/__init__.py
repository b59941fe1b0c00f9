"""The client half of a scheduler: it uses a store, a clock and a registry; imports no node."""
