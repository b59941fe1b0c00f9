"""Triggers as text: parsed, formatted, and described in English."""
