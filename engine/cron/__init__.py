"""One run of a scheduled job, from its claim to how it ends."""

from __future__ import annotations
