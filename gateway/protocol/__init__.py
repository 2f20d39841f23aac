"""The wire: frames, handshake, methods, errors. No sockets."""

from __future__ import annotations
