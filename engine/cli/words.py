"""The options that may stand anywhere in a command line (operations.md §1.1).

Imports nothing slow: the quick commands read their words here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

_FLAGS: Final = frozenset({"--dev", "--no-color", "--version"})
_PROFILE: Final = "--profile"


def split(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Take the global options out, wherever they stand before `--`: name to value, and the rest."""
    options: dict[str, str] = {}
    rest: list[str] = []
    pending = iter(words)
    for word in pending:
        name, _, value = word.partition("=")
        if word == "--":
            rest += [word, *pending]
        elif name == _PROFILE:
            options["profile"] = value or next(pending, "")
        elif word in _FLAGS:
            options[word.removeprefix("--")] = ""
        else:
            rest.append(word)
    return options, rest


def joined(options: Mapping[str, str], rest: Sequence[str]) -> list[str]:
    """The words `split` took apart."""
    said = [f"--{name}={value}" if value else f"--{name}" for name, value in options.items()]
    return [*said, *rest]
