"""Why a message from outside starts no turn, and how to let its sender in. Pure.

channels.md §3 (who may talk), §5 (what is seen twice or too late).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Unheard(StrEnum):
    """Why nobody answers a message that came in."""

    PAIRING_REQUIRED = "pairing-required"
    BLOCKED = "blocked"
    DM_DISABLED = "dm-disabled"
    GROUP_DISABLED = "group-disabled"
    GROUP_NOT_ALLOWED = "group-not-allowed"
    SENDER_NOT_ALLOWED = "sender-not-allowed"
    OTHER_MENTIONED = "other-mentioned"
    MENTION_REQUIRED = "mention-required"
    DUPLICATE = "duplicate"
    BACKLOG = "backlog"
    NO_MESSAGE = "no-message"

    @property
    def sentence(self) -> str:
        """What this reason means, for a person."""
        return FACTS[self][0]

    @property
    def fix(self) -> str:
        """What to do about it."""
        return FACTS[self][1]


# Somebody wrote in private and was not let in.
IN_PERSON: Final = frozenset({Unheard.PAIRING_REQUIRED, Unheard.BLOCKED, Unheard.DM_DISABLED})
_LIST: Final = "add the sender's id to allowFrom of the channel or account"
FACTS: Final[Mapping[Unheard, tuple[str, str]]] = {
    Unheard.PAIRING_REQUIRED: (
        "dmPolicy is pairing and the sender is not known; a code to be let in was told to them.",
        "engine pairing list",
    ),
    Unheard.BLOCKED: ("The sender is not in allowFrom.", _LIST),
    Unheard.DM_DISABLED: ("dmPolicy is disabled: nobody is answered in private.", "set dmPolicy"),
    Unheard.GROUP_DISABLED: ("groupPolicy is disabled: no group is heard.", "set groupPolicy"),
    Unheard.GROUP_NOT_ALLOWED: (
        "The group is not listed, or switched off.",
        "add its id to groups of the channel",
    ),
    Unheard.SENDER_NOT_ALLOWED: (
        "The sender may not speak in this group.",
        "add the sender's id to groupAllowFrom, or to allowFrom of the group",
    ),
    Unheard.OTHER_MENTIONED: (
        "The message mentions somebody else and not the bot (ignoreOtherMentions).",
        "mention the bot, or set ignoreOtherMentions to false for the group",
    ),
    Unheard.MENTION_REQUIRED: (
        "The message does not mention the bot.",
        "mention the bot, or set requireMention to false for the group",
    ),
    Unheard.DUPLICATE: ("The platform delivered the message a second time.", "nothing"),
    Unheard.NO_MESSAGE: (
        "The platform only told whether somebody takes messages they did not ask for.",
        "nothing",
    ),
    Unheard.BACKLOG: (
        "It was hours old when it came in: it only tells where its sender is.",
        "write again",
    ),
}


def let_in(channel: str, account_id: str, sender_id: str) -> str:
    """Return the command that lets somebody in, whatever the list holds already."""
    account = "" if account_id in ("", "default") else f"accounts.{account_id}."
    where = shlex.quote(f"channels.{channel}.{account}allowFrom[]")
    return f"engine config set {where} {shlex.quote(json.dumps(sender_id))}"


def hear_group(channel: str, account_id: str, group: str) -> str:
    """Return the command that puts a group among those that are heard."""
    account = "" if account_id in ("", "default") else f"accounts.{account_id}."
    where = shlex.quote(f"channels.{channel}.{account}groups[{json.dumps(group)}]")
    return f"engine config set {where} '{{}}'"


def drop_words(
    reason: str, channel: str, account_id: str, sender: str, chat: str, *, at: int | None
) -> dict[str, object]:
    """Return a message nobody answered as `channels.status` tells it."""
    told: dict[str, object] = {"reason": reason, "atMs": at, "sender": sender, "chat": chat}
    if reason in set(Unheard):
        told["fix"] = way_in(Unheard(reason), channel, account_id, sender, group=chat)
    return told


def way_in(reason: Unheard, channel: str, account_id: str, sender_id: str, group: str = "") -> str:
    """Return what lets somebody, or a group, in that was not let in for this reason."""
    if reason is Unheard.GROUP_NOT_ALLOWED and group:
        return hear_group(channel, account_id, group)
    listed = reason in IN_PERSON and reason is not Unheard.PAIRING_REQUIRED
    return let_in(channel, account_id, sender_id) if listed else reason.fix
