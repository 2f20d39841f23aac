"""Who may connect, and with which rights (protocol.md §4). Decisions on values; no sockets.

Pairing (devices kept in a store, device tokens) is a room of its own. Until it exists a
device proof is verified and then counts for nothing beyond the shared secret it came with.
"""

from __future__ import annotations
