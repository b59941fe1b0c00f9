"""Web pages and the HTTP API (FastAPI, Jinja2); calls what `duly.scheduler` exports, and nothing imports it."""
