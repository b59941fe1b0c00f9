"""Cron expressions: their fields, the days and times that they name, and the trigger."""
