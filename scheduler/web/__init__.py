"""Web pages and HTTP API (FastAPI, Jinja2); uses only `duly.scheduler` exports; nothing imports it."""
