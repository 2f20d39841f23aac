"""Schedules of other programs as jobs of ours: text and JSON in, values out (cron.md §22-11)."""
