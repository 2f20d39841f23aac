"""Who may talk and connect, at rest. Functions over an open transaction."""

from __future__ import annotations
