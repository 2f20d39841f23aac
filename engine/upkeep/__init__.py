"""What keeps the engine and its record well: chores, recovery, watch."""

from __future__ import annotations
