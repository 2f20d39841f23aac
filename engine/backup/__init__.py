"""A home packed into one file, proved whole, and put back. Safe while a gateway runs.

Rooms: `manifest` (what an archive says of itself; pure), `packing` (home to archive),
`reading` (archive to facts), `restoring` (archive to home).
"""

from __future__ import annotations
