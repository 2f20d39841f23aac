"""The text of a `.env`: its variables, and edits that leave every other line as it is. Pure.

A value may be quoted and go over many lines, as a private key does: what a variable takes up is
told by the parser that reads it, never by counting lines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from io import StringIO
from typing import Final

_PLAIN: Final = re.compile(r"[^\s#\"'$\\`]+")  # means itself without quotes


def variables_of(text: str) -> dict[str, str]:
    """Return the variables of a `.env`, as it is written; a name without a value is none."""
    from dotenv import dotenv_values

    found = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value is not None}


def with_variables(text: str, values: Mapping[str, str]) -> str:
    """Return the text with these variables in it; one that stood there twice stands there once."""
    from dotenv.parser import parse_stream

    left, kept = dict(values), ""
    for one in parse_stream(StringIO(text)):
        was = one.original.string
        if one.key is None or one.key not in values:
            kept += was
        elif one.key in left:
            kept += was[: len(was) - len(was.lstrip())] + _line(one.key, left.pop(one.key))
    end = "\n" if kept and not kept.endswith("\n") else ""
    return kept + end + "".join(_line(name, value) for name, value in left.items())


def without_variables(text: str, names: Collection[str]) -> str:
    """Return the text without these variables."""
    from dotenv.parser import parse_stream

    kept = (one for one in parse_stream(StringIO(text)) if one.key not in names)
    return "".join(one.original.string for one in kept)


def _line(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"{name}={value}\n"
    escaped = value.replace("\\", "\\\\")
    if "'" not in value:
        return f"{name}='{escaped}'\n"
    inside = escaped.replace('"', '\\"')
    return f'{name}="{inside}"\n'
