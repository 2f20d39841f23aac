"""Keeps credentials out of what an agent's failure says (design.md P7).

What looks like a secret is what looks like one in the log: see `engine.log.redaction`. Here
nothing of it is shown: these words reach people and models.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.log.redaction import DEFAULTS, MASK, Redactor

LONGEST: Final = 600  # of a failure's message: provider bodies can be pages
_SHORTEST: Final = 4  # a shorter "key" is a placeholder, and masking it would eat prose

# Providers echo keys cut short, or with stars in them.
_ECHOED: Final = (
    r"(?i)bearer\s+([A-Za-z0-9._~+/=-]{6,})",
    r"\b((?:sk|pk|rk|xai|gsk|key)-[A-Za-z0-9_*-]{6,})",
)
_without_shapes: Final = Redactor(patterns=(*_ECHOED, *DEFAULTS), show=lambda _: MASK)


def masked(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Return the text without the given secrets and without anything shaped like one."""
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            text = text.replace(secret, MASK)
    return _without_shapes(text)


def redacted(text: str, secrets: Iterable[str | None] = ()) -> str:
    """Return `masked` words on one line, shortened."""
    text = " ".join(masked(text, secrets).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
