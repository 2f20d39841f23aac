"""The gateway as a service of the host: its unit, and who runs it (operations.md §8).

Rooms: `unit` (what a unit file says; pure), `agent` (the same for launchd; pure), `host` (asks
systemd), `files` (where a unit lies, written whole or not at all).
"""

from __future__ import annotations
