"""One running node: loops, each with a run_once(); they ask, decide elsewhere, and write."""
