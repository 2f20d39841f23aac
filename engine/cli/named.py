"""Channels as people name them on the command line: by name, or by a short one (channels.md §4)."""

from __future__ import annotations

from difflib import get_close_matches

from engine.cli.ask import Line
from engine.messages import plugged
from engine.messages.target import SERVED, channel_named
from jobs.errors import UsageError


def channel_of(line: Line, word: str) -> str:
    """Return the channel that is meant, and refuse one nobody knows.

    What is installed at a gateway elsewhere only that one knows.
    """
    found = channel_named(word)
    if found is None and line.at_home:
        known = sorted({*SERVED, *plugged.installed()})
        near = get_close_matches(word.strip().lower(), known, 1)
        raise UsageError(
            f"unknown channel {word!r}",
            fix=f"--channel {near[0]}" if near else f"name one of: {', '.join(known)}",
        )
    return found or word
