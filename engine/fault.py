"""Why a platform did not take a message, and what a person can do about it (channels.md §10). Pure.

What follows a fault is decided in `engine.outbox`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class FaultClass(StrEnum):
    """Why a platform did not take a message (channels.md §10)."""

    AUTH = "auth"
    BLOCKED = "blocked"
    CANNOT_INITIATE = "cannot-initiate"
    NOT_MEMBER = "not-member"
    MUTED = "muted"
    NOT_FOUND = "not-found"
    MIGRATED = "migrated"
    THREAD_GONE = "thread-gone"
    FORMAT = "format"
    TOO_LONG = "too-long"
    RATE_LIMITED = "rate-limited"
    QUOTA_EXHAUSTED = "quota-exhausted"
    PROACTIVE_DENIED = "proactive-denied"
    WINDOW_EXPIRED = "window-expired"
    DUPLICATE = "duplicate"
    CONTENT_REJECTED = "content-rejected"
    OFFLINE = "offline"
    SERVER = "server"
    NETWORK_PRESEND = "network-presend"
    NETWORK_AMBIGUOUS = "network-ambiguous"
    CONFLICT = "conflict"
    UNKNOWN_ERROR = "unknown-error"

    @property
    def spoils_route(self) -> bool:
        """Nothing will arrive there until its person writes again (channels.md §4)."""
        return self in _SPOILING

    @property
    def mendable(self) -> bool:
        """Waiting alone does not help: somebody has to act."""
        return self in _HINTS

    @property
    def hint(self) -> str:
        """What a person can do about it (channels.md §10)."""
        return _HINTS.get(self, "engine channels status, to read what the platform said")


_SPOILING: Final = frozenset({FaultClass.BLOCKED, FaultClass.NOT_MEMBER, FaultClass.NOT_FOUND})
_HINTS: Final[Mapping[FaultClass, str]] = {
    FaultClass.AUTH: "replace the credential: the platform refuses it",
    FaultClass.BLOCKED: "the person must unblock or start the bot",
    FaultClass.CANNOT_INITIATE: "the person must message the bot first",
    FaultClass.NOT_MEMBER: "add the bot to the group again",
    FaultClass.MUTED: "give the bot the right to write there",
    FaultClass.NOT_FOUND: "correct `to`: no such chat, or nobody has written from it yet",
    FaultClass.CONFLICT: "end the other program that polls this bot",
    FaultClass.CONTENT_REJECTED: "word it otherwise: the platform refuses this text",
    FaultClass.NETWORK_AMBIGUOUS: "look into the chat: it may have been delivered",
    FaultClass.PROACTIVE_DENIED: "allow messages of the bot, or write to it",
    FaultClass.QUOTA_EXHAUSTED: "wait for the reset time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A classified failure. ``detail`` never holds a credential."""

    fault: FaultClass
    code: str = ""
    detail: str = ""
    retry_after_seconds: float | None = None
    migrate_to: str | None = None
