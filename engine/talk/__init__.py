"""People and agents: a chat message and its answer, and what operators do with words that wait."""

from __future__ import annotations
