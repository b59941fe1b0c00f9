"""The command line (click, rich); uses only what `duly.scheduler` exports; nothing imports it."""
