"""One run's life on this node, from its lock to its written outcome."""
