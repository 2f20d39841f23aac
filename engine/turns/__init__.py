"""One turn of an agent: its tools, its lane, its limits."""

from __future__ import annotations
