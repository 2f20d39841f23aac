"""WHETHER an agent wakes, HOW its turn runs and WHERE its words go."""

from __future__ import annotations

__version__ = "0.1.0"
