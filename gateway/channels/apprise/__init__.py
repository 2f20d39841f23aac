"""Many services through the library apprise, an optional extra (channels.md §13)."""

from __future__ import annotations
