"""QQ official bot: REST and a WebSocket gateway (channels.md §8)."""

from __future__ import annotations
