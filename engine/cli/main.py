"""The `engine` command: quick ways first, then click with groups loaded only when used.

The commands people run all day (`heartbeat last`, `cron next`, `--version`) answer without
importing click, pydantic, SQLAlchemy or rich.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from engine.cli.ending import version
from engine.cli.words import split


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status (operations.md §14.1)."""
    words = list(sys.argv[1:] if argv is None else argv)
    quick = _quick(words)
    if quick is not None:
        sys.exit(quick())
    from engine.cli.app import run

    sys.exit(run(words))


def _quick(words: list[str]) -> Callable[[], int] | None:
    """The quick way for these words, if there is one; help goes the long way."""
    if words == ["--version"]:
        return version
    options, rest = split(words)
    if "version" in options or {"--help", "-h"} & set(rest):
        return None
    match rest:
        case ["cron" | "automations", "next", *given]:
            from engine.cli.cron.next import names_a_job, run as cron_next

            return None if names_a_job(given) else lambda: cron_next(given)
        case ["heartbeat", "last", *given] | ["system", "heartbeat", "last", *given]:
            from engine.cli.heartbeat.last import run as heartbeat_last

            return lambda: heartbeat_last(given, options)
        case _:
            return None
