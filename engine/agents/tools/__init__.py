"""What an agent may do in a turn."""

from __future__ import annotations
