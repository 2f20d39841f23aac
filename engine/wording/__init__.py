"""What an agent is told, and what its reply means."""

from __future__ import annotations
