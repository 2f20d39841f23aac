"""What a person says to the engine itself in a chat: `/hb useful`, `/hb snooze 2h`. Pure.

heartbeat.md §25 rows 13 and 21. It is about the newest alert that reached that chat.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule

COMMAND: Final = "/hb"
_MESSAGE: Final = "message:"
NOISY: Final = 3  # times the same words were noise, and never useful, before muting is suggested
USAGE: Final = (
    "Say one of these about the last alert here: /hb useful, /hb noise, /hb ack, /hb snooze 2h,"
    " /hb mute, /hb unmute."
)


class Word(StrEnum):
    """What somebody wants of an alert."""

    USEFUL = "useful"
    NOISE = "noise"
    ACK = "ack"
    SNOOZE = "snooze"
    MUTE = "mute"
    UNMUTE = "unmute"


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that was understood."""

    word: Word
    span: timedelta | None = None
    message: str | None = None  # as its platform calls it; None: the newest alert of the chat


def parse(text: str) -> Asked | str | None:
    """Return what is asked for, or how to ask; None: it is no such command."""
    head, *rest = text.split() or [""]
    # In a group the platform puts the bot's name behind a command.
    if head.lower().partition("@")[0] != COMMAND:
        return None
    message = None
    if len(rest) == 2 and rest[1].startswith(_MESSAGE):
        message = rest.pop().removeprefix(_MESSAGE)
    try:
        word = Word(rest[0].lower()) if rest else None
        span = parse_duration(rest[1]) if len(rest) == 2 and word is Word.SNOOZE else None
    except (ValueError, InvalidSchedule):
        return USAGE
    needs_span = word is Word.SNOOZE
    if word is None or len(rest) != 1 + needs_span or (needs_span and not span):
        return USAGE
    return Asked(word, span, message)


def about(word: Word, message: str) -> str:
    """Return a word about one message: what a reaction to it says."""
    return f"{COMMAND} {word} {_MESSAGE}{message}"


def suggestion(useful: int, noise: int, ref: str, *, chat: bool) -> str:
    """Return what could be done about words that are only ever noise; never done by itself."""
    if useful or noise < NOISY:
        return ""
    how = "/hb mute" if chat else f"engine inbox mute {ref}"
    return f"They were noise {noise} times and never useful. To hear them no more: {how}"
