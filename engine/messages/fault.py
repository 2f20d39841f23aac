"""Why a platform did not take a message, and what a person can do about it (channels.md §10). Pure.

What follows a fault is decided in `engine.messages.outbox`.
"""

from __future__ import annotations

import shlex
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
    MEDIA_REFUSED = "media-refused"
    OFFLINE = "offline"
    SERVER = "server"
    NETWORK_PRESEND = "network-presend"
    NETWORK_AMBIGUOUS = "network-ambiguous"
    CONFLICT = "conflict"
    ADDRESS_REFUSED = "address-refused"
    UNKNOWN_ERROR = "unknown-error"

    @property
    def spoils_route(self) -> bool:
        """Nothing will arrive there until its person writes again (channels.md §4)."""
        return self in _SPOILING

    @property
    def sentence(self) -> str:
        """What happened, for a person."""
        return _SENTENCES[self]

    @property
    def mendable(self) -> bool:
        """Waiting alone does not help: somebody has to act."""
        return self in _HINTS

    @property
    def hint(self) -> str:
        """What a person can do about it (channels.md §10)."""
        return _HINTS.get(self, "engine channels status --probe")


_SENTENCES: Final[Mapping[FaultClass, str]] = {
    FaultClass.AUTH: "The platform refuses the credential of the account.",
    FaultClass.BLOCKED: "The person has blocked the bot, or is gone.",
    FaultClass.CANNOT_INITIATE: "The bot may not write first.",
    FaultClass.NOT_MEMBER: "The bot is not in that group.",
    FaultClass.MUTED: "The bot may not write in that chat.",
    FaultClass.NOT_FOUND: "There is no such chat.",
    FaultClass.MIGRATED: "The chat has another id now.",
    FaultClass.THREAD_GONE: "The topic is gone.",
    FaultClass.FORMAT: "The platform could not read the markup.",
    FaultClass.TOO_LONG: "The message was too long.",
    FaultClass.RATE_LIMITED: "The platform asked for a pause.",
    FaultClass.QUOTA_EXHAUSTED: "The platform's quota is used up.",
    FaultClass.PROACTIVE_DENIED: "The person takes no messages they did not ask for.",
    FaultClass.WINDOW_EXPIRED: "The time in which an answer may be sent is over.",
    FaultClass.DUPLICATE: "The platform had that message already.",
    FaultClass.CONTENT_REJECTED: "The platform refuses this text.",
    FaultClass.MEDIA_REFUSED: "The platform does not take that file.",
    FaultClass.OFFLINE: "The bot is offline on the platform.",
    FaultClass.SERVER: "The platform's server failed.",
    FaultClass.NETWORK_PRESEND: "The platform could not be reached.",
    FaultClass.NETWORK_AMBIGUOUS: "The connection broke before the platform answered.",
    FaultClass.CONFLICT: "Another program uses the same bot.",
    FaultClass.ADDRESS_REFUSED: "No webhook may go to that address; it was not called.",
    FaultClass.UNKNOWN_ERROR: "The platform said something nobody has a word for.",
}
_SPOILING: Final = frozenset({FaultClass.BLOCKED, FaultClass.NOT_MEMBER, FaultClass.NOT_FOUND})
# A command, or an act that no command here does: `in the chat: …`, `elsewhere: …`.
_HINTS: Final[Mapping[FaultClass, str]] = {
    FaultClass.AUTH: "elsewhere: get a new credential from the platform and put it into the config",
    FaultClass.BLOCKED: "in the chat: unblock or start the bot",
    FaultClass.CANNOT_INITIATE: "in the chat: write to the bot first",
    FaultClass.NOT_MEMBER: "in the chat: add the bot to the group again",
    FaultClass.MUTED: "in the chat: give the bot the right to write there",
    FaultClass.NOT_FOUND: "in the chat: write to the bot once; no such chat is known to it",
    FaultClass.CONFLICT: "elsewhere: end the other program that polls this bot",
    FaultClass.ADDRESS_REFUSED: "engine config set cron.webhookSsrfPolicy.allowedHostnames"
    """ '["HOST"]'""",
    FaultClass.CONTENT_REJECTED: "engine inbox list --reason failed",
    FaultClass.MEDIA_REFUSED: "elsewhere: send a smaller file, or another kind of file",
    FaultClass.NETWORK_AMBIGUOUS: "in the chat: look whether it has arrived",
    FaultClass.PROACTIVE_DENIED: "in the chat: allow messages of the bot, or write to it",
    FaultClass.QUOTA_EXHAUSTED: "nothing: the platform counts anew at its reset time",
    FaultClass.UNKNOWN_ERROR: "engine channels status --probe",
}
_EXTRAS: Final[Mapping[str, str]] = {"apprise": "pip install 'heartbeat-engine[apprise]'"}
_OF_JOBS: Final = ("", "jobs", "pings")  # webhooks whose addresses jobs and beats name themselves
_SECRETS: Final[Mapping[str, str]] = {"telegram": "botToken", "qqbot": "clientSecret"}


def remedy(kind: str | None, channel: str = "", account: str = "") -> str:
    """Return what a person can do about a fault of that name; '' where time mends it.

    Of a credential that is refused the key is named, where the channel and account are.
    """
    found = next((one for one in FaultClass if one.value == kind), None)
    if found is FaultClass.AUTH and channel in _SECRETS:
        whose = "" if account in ("", "default") else f".accounts.{shlex.quote(account)}"
        return f"engine config set channels.{channel}{whose}.{_SECRETS[channel]} NEW_ONE"
    if kind == "channel-not-installed" and channel in _EXTRAS:
        return _EXTRAS[channel]
    if kind == "account-mismatch":  # who is known to which account stands there
        return f"engine channels routes --channel {shlex.quote(channel or 'qqbot')}"
    if found is FaultClass.ADDRESS_REFUSED and channel == "webhook" and account not in _OF_JOBS:
        key = f"channels.webhook.accounts.{account}.allowPrivate"
        return f"engine config set {shlex.quote(key)} true"
    if found is FaultClass.NOT_FOUND and channel == "apprise":
        return "engine channels status"  # its accounts; there is no chat to write in
    return found.hint if found is not None and found.mendable else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A classified failure. ``detail`` never holds a credential."""

    fault: FaultClass
    code: str = ""
    detail: str = ""
    retry_after_seconds: float | None = None
    migrate_to: str | None = None
    links_refused: bool = False  # an address in the text is what the platform refuses
