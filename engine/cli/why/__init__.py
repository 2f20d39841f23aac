"""`engine why`: why no message came."""

from __future__ import annotations
