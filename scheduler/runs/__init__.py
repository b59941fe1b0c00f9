"""One run on this node, from the lock of its task to its written outcome."""
