"""One running node: loops, each with a `run_once()`; a loop asks, lets the rules decide, and writes."""
