"""`engine heartbeat`: the last beat, the history, on and off."""

from __future__ import annotations
