"""The gateway as a service of this host, by its verbs (operations.md §8).

Rooms: `installing` (its unit: written, compared, removed), `verbs` (start, stop, restart),
`waiting` (until it is so).
"""

from __future__ import annotations

from engine.cli.gateway.service.installing import drifted, install, uninstall
from engine.cli.gateway.service.verbs import restart, start, stop

__all__ = ["drifted", "install", "restart", "start", "stop", "uninstall"]
