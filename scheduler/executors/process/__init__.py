"""Jobs in child processes of the node, which are killed at a time limit and may crash."""
