"""Metrics and traces (prometheus-client, opentelemetry-api); listens to events, and nothing imports it."""
