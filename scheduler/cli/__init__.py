"""The command line (click, rich); calls what `duly.scheduler` exports, and nothing imports it."""
