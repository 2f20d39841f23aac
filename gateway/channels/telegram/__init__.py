"""Telegram: the Bot API over plain HTTP (channels.md §9)."""

from __future__ import annotations
