"""Somebody else's JSON, read without ever raising. Pure.

An update that could not be read would come again for ever and keep everything behind it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

LONGEST_TEXT: Final = 32_768  # far beyond what a platform takes; what is longer is no message
LONGEST_IDENT: Final = 200
LARGEST: Final = 2**62


def mapping(value: object) -> Mapping[str, Any]:
    """Return an object, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> Sequence[object]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list | tuple) else ()


def whole(value: object) -> int | None:
    """Return a number of theirs that fits into ours."""
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST
    return value if fits and isinstance(value, int) else None


def clean(text: str) -> str:
    """Return text a database and a wire can hold: no half of a surrogate pair, no NUL, an end."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\x00", "")[:LONGEST_TEXT]


def ident(value: object) -> str | None:
    """Return the id of a message, a button press, a person: a number, or any word."""
    if isinstance(value, str):
        return clean(value.strip())[:LONGEST_IDENT] or None
    number = whole(value)
    return None if number is None else str(number)
