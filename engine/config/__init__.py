"""engine.json: one strict tree, read once, refused with line and column."""

from __future__ import annotations
