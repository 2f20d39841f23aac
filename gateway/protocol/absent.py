"""Paths of the reference product behind which nothing stands here, and why (operations.md §1.5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CODE: Final = "feature_unavailable"
ABSENT: Final[Mapping[str, str]] = {
    "/voiceclaw/realtime": "this gateway has no voice; agents are written to",
}
