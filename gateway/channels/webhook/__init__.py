"""Webhooks: signed HTTP POST to whatever takes it (channels.md §13)."""

from __future__ import annotations
