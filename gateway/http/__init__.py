"""HTTP on the WebSocket's port, room by room (protocol.md §11)."""

from __future__ import annotations
