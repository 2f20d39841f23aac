"""Who may connect, and with which rights (protocol.md §4). Decisions on values; no sockets.

`policy` the config resolved · `peer` `proxy` where a caller comes from · `proof` what a device
shows · `pairing` what it may · `book` the devices in memory and their tokens · `failures` the
lockout · `gatekeeper` all of these in their order · `refusals` the words.
"""

from __future__ import annotations
