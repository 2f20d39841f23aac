"""The front door: what an operator types."""

from __future__ import annotations
