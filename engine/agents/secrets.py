"""Keeps credentials out of what an agent's failure says (design.md P7)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"
LONGEST: Final = 600  # of a failure's message: provider bodies can be pages
_SHORTEST: Final = 4  # a shorter "key" is a placeholder, and masking it would eat prose

# The shapes providers echo: bearer headers, and keys with a known prefix.
_SHAPES: Final = (
    re.compile(r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{6,}"),
    re.compile(r"()\b(?:sk|pk|rk|xai|gsk|key)-[A-Za-z0-9_*-]{6,}"),
)


def masked(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Return the text without the given secrets and without anything shaped like one."""
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    for shape in _SHAPES:
        text = shape.sub(rf"\g<1>{MASK}", text)
    return text


def redacted(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Return `masked` words on one line, shortened."""
    text = " ".join(masked(text, secrets).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
