"""`engine cron`: scheduled jobs and their runs."""

from __future__ import annotations
