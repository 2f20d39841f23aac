"""Channels: platform traffic in, platform sends out, nothing decided here."""

from __future__ import annotations
