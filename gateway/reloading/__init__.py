"""The config while the gateway runs, and when it starts with a broken one (operations.md §4).

Rooms: `force` (what is in force), `reloader` (edits of the file), `recovery` (the last good config
comes back).
"""

from __future__ import annotations
