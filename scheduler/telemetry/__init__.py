"""Metrics and traces (prometheus-client, opentelemetry-api); listens to events; nothing imports it."""
