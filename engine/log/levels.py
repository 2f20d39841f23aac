"""How loud a line is, in the words of the config (operations.md §11)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

VARIABLE: Final = "ENGINE_LOG_LEVEL"
TRACE: Final = 5
# From quiet to loud; `silent` lets nothing through.
LEVELS: Final[Mapping[str, int]] = {
    "silent": logging.CRITICAL + 10,
    "fatal": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
_OTHER_WORDS: Final = {"warning": "warn", "critical": "fatal"}


def word(number: int) -> str:
    """Return the word of a level, as lines have it."""
    heard = [name for name, least in LEVELS.items() if least <= number and name != "silent"]
    return heard[0] if heard else "trace"


def number(name: str) -> int:
    """Return the level of a word; 0 for one that is none."""
    plain = name.strip().lower()
    return LEVELS.get(_OTHER_WORDS.get(plain, plain), 0)


def from_environment(environ: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the level `ENGINE_LOG_LEVEL` asks for, and what is wrong with it if it is none."""
    given = environ.get(VARIABLE, "").strip().lower()
    plain = _OTHER_WORDS.get(given, given)
    if not plain or plain in LEVELS:
        return plain or None, None
    near = get_close_matches(plain, LEVELS, 1)
    hint = f"; did you mean {near[0]}?" if near else f" ({', '.join(LEVELS)})"
    return None, f"{VARIABLE}={given} is no level and was left aside{hint}"
