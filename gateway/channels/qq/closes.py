"""What follows the end of a connection: the table of close codes (channels.md §8). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

_BACKOFF: Final = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 30, 60))
A_MINUTE: Final = timedelta(seconds=60)
SHORT_LIFE: Final = timedelta(seconds=5)
SHORT_LIVES: Final = 3
SECOND_PROCESS: Final = "the connection ends right after it began: permissions or a second process"

TOKEN_REFUSED: Final = 4004
_SLOW_DOWN: Final = 4008
_NEW_SESSION: Final = frozenset({4006, 4007, *range(4900, 4914)})
_FATAL: Final[Mapping[int, str]] = {
    4001: "the platform does not know an opcode of ours",
    4002: "the platform could not read a frame of ours",
    4010: "the shard is not valid",
    4011: "the bot serves too many guilds for one connection",
    4012: "the platform dropped this version of its interface",
    4013: "an intent of the config does not exist",
    4014: "an intent of the config is not granted to this bot",
    4914: "the bot is taken offline, only its sandbox works (or: an intent is missing)",
    4915: "the bot is banned (or: an intent is not allowed)",
}


class How(StrEnum):
    """How the next connection begins."""

    RESUME = "resume"  # events sent while away come after it
    IDENTIFY = "identify"
    NEVER = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one connection ended. ``code`` 0: it was never closed, it broke."""

    code: int = 0
    reason: str = ""
    lived: timedelta | None = None  # since it was ready; None: it never was
    invalid_session: bool = False  # opcode 9
    asked_to_reconnect: bool = False  # opcode 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Streak:
    """What happened before: it makes the waits longer."""

    failures: int = 0
    short_lives: int = 0
    refused_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to do now."""

    how: How
    wait: timedelta = timedelta()
    new_token: bool = False
    because: str = ""
    streak: Streak = Streak()


def after(ended: Ended, before: Streak) -> Next:
    """Decide what follows an ended connection. The same end and streak give the same answer."""
    code = ended.code
    if code in _FATAL:
        return Next(how=How.NEVER, because=f"{code}: {_FATAL[code]}")
    streak = _counted(ended, before)
    if code == TOKEN_REFUSED and streak.refused_tokens > 1:
        return Next(how=How.NEVER, because="4004: a fresh token is refused", streak=streak)
    how = How.IDENTIFY if ended.invalid_session or code in _NEW_SESSION else How.RESUME
    wait = _BACKOFF[min(max(streak.failures, 1), len(_BACKOFF)) - 1]
    because = f"closed with {code} {ended.reason}".strip() if code else ended.reason
    if ended.asked_to_reconnect:
        wait, because = timedelta(), "the platform asked for a new connection"
    if code == _SLOW_DOWN:
        wait = A_MINUTE
    if streak.short_lives >= SHORT_LIVES:
        wait, because = A_MINUTE, SECOND_PROCESS
        streak = Streak(failures=streak.failures, refused_tokens=streak.refused_tokens)
    return Next(how=how, wait=wait, new_token=code == TOKEN_REFUSED, because=because, streak=streak)


def _counted(ended: Ended, before: Streak) -> Streak:
    """A connection that was of use for a while makes up for what was before it."""
    refused = before.refused_tokens + 1 if ended.code == TOKEN_REFUSED else 0
    if ended.lived is None:
        return Streak(
            failures=before.failures + 1, short_lives=before.short_lives, refused_tokens=refused
        )
    if ended.lived < SHORT_LIFE and not ended.asked_to_reconnect:
        return Streak(
            failures=before.failures + 1, short_lives=before.short_lives + 1, refused_tokens=refused
        )
    return Streak(failures=1, refused_tokens=refused)
