"""A beat, from its slot or wake to its row."""

from __future__ import annotations
