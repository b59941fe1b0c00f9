"""Triggers made of other triggers."""
