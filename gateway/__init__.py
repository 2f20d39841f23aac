"""The thin consumer: sockets, channels and the process around the engine."""

from __future__ import annotations
