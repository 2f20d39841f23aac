"""Who the agents are, when they beat and what they may spend."""

from __future__ import annotations
