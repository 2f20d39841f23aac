"""The `engine` command: fast paths first, then click with groups loaded only when used.

The commands people run all day (`heartbeat last`, `cron next`, `--version`) answer without
importing click, pydantic, SQLAlchemy or rich.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

Fast = Callable[[list[str]], int]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status (operations.md §14.1)."""
    words = list(sys.argv[1:] if argv is None else argv)
    fast = _fast(words)
    if fast is not None:
        sys.exit(fast())
    from engine.cli.app import run

    sys.exit(run(words))


def _fast(words: list[str]) -> Callable[[], int] | None:
    """Return the fast path for these words, if there is one; help goes the long way."""
    if words == ["--version"]:
        return _version
    place, rest = _place(words)
    if {"--help", "-h"} & set(rest):
        return None
    match rest[:3]:
        case ["cron" | "automations", "next", *_]:
            from engine.cli.cron_next import run as cron_next

            return lambda: cron_next(rest[2:])
        case ["heartbeat", "last", *_]:
            return _heartbeat_last(place, rest[2:])
        case ["system", "heartbeat", "last"]:
            return _heartbeat_last(place, rest[3:])
        case _:
            return None


def _heartbeat_last(place: dict[str, str], rest: list[str]) -> Callable[[], int]:
    from engine.cli.heartbeat_last import run as heartbeat_last

    return lambda: heartbeat_last(rest, profile=place.get("profile"))


def _place(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Split the global options off, wherever they stand (operations.md §1.1)."""
    place: dict[str, str] = {}
    rest: list[str] = []
    pending = iter(words)
    for word in pending:
        if word == "--profile":
            place["profile"] = next(pending, "")
        elif word.startswith("--profile="):
            place["profile"] = word.partition("=")[2]
        elif word == "--dev":
            place["profile"] = "dev"
        elif word != "--no-color":
            rest.append(word)
    return place, rest


def _version() -> int:
    from engine import __version__

    sys.stdout.write(f"engine {__version__} (release)\n")
    return 0
