"""What one message becomes: what it is known by, its turn, the route it teaches. Pure.

Forms: channels.md §3.4 (where an answer goes), §4 (routes), §5 (what is the same message).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from engine.messages import said
from engine.messages.address import REPLY, ChatType, Route
from engine.messages.media import from_json, to_json
from engine.messages.mentions import addressed
from engine.messages.target import LastRoute
from engine.messages.unheard import Unheard
from engine.store.routes import route_of, route_text
from engine.store.sessions import OwedTurn
from engine.talk.conversation import ChatTurn
from gateway.channels.base import Inbound
from gateway.channels.policy import Manners, Verdict
from gateway.waiting import Waiting

_BY_BUTTON: Final = "callback_data: "
_COMMAND: Final = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What became of one message. ``reason`` is None for one that starts a turn."""

    message: Inbound
    agent_id: str
    session_key: str
    reason: Unheard | None = None
    route_set: bool = False
    let_go: tuple[str, ...] = ()  # messages that waited for this contact
    code_told: bool = False  # a stranger is told how to be let in
    overheard: tuple[tuple[str, str], ...] = ()  # what was said in the group before it


def heard(message: Inbound, manners: Manners) -> Inbound:
    """Return a message as it counts: a name without tricks, and a call by a pattern (§3.3)."""
    label = said.name(message.sender_label) or None
    called = message.mentioned or (
        message.chat_type is not ChatType.DIRECT and addressed(manners.patterns, message.text)
    )
    return replace(message, sender_label=label, mentioned=called)


def teaches_route(admission: Admission, verdict: Verdict) -> bool:
    """Whether a message moves its session's route: the table of channels.md §4.

    An old one still tells where its person is; a group's counts only if it starts a turn.
    """
    if not verdict.admitted or not verdict.may_set_route:
        return False
    direct = admission.message.chat_type is ChatType.DIRECT
    return direct or not admission.reason


def turn_of(admission: Admission) -> ChatTurn:
    """Return the turn an admitted message starts."""
    message = admission.message
    return ChatTurn(
        run_id=run_id(message),
        agent_id=admission.agent_id,
        session_key=admission.session_key,
        text=message.text,
        route=reply_route(message),
        media=message.media,
        speaker=None if message.chat_type is ChatType.DIRECT else speaker(message),
        overheard=admission.overheard,
    )


def speaker(message: Inbound) -> str:
    """Return what whoever said it is called."""
    return message.sender_label or said.name(message.sender_id, said.NOBODY)


def waiting(turn: ChatTurn, sender: str, at: datetime) -> Waiting:
    """Only plain words are joined with others (channels.md §5)."""
    words = turn.text.lstrip()
    alone = bool(turn.media) or words.startswith((_COMMAND, _BY_BUTTON)) or "<media:" in words
    return Waiting(turn=turn, sender=sender, at=at, alone=alone)


def owed_text(turn: ChatTurn, sender: str) -> str:
    """Return a turn as it is kept until it was taken."""
    if turn.route is None:
        raise AssertionError("a message from a channel is answered there")
    return json.dumps(
        {
            "runId": turn.run_id,
            "agentId": turn.agent_id,
            "sessionKey": turn.session_key,
            "text": turn.text,
            "route": route_text(turn.route),
            **({"media": to_json(turn.media)} if turn.media else {}),
            "sender": sender,
            "speaker": turn.speaker,
            "overheard": turn.overheard,
        },
        ensure_ascii=False,
    )


def owed_again(owed: OwedTurn, now: datetime) -> Waiting:
    """Return a message an earlier process admitted, as it waits again."""
    v = json.loads(owed.turn)
    turn = ChatTurn(
        run_id=v["runId"],
        agent_id=v["agentId"],
        session_key=v["sessionKey"],
        text=v["text"],
        route=route_of(v["route"]),
        media=from_json(v.get("media")),
        speaker=v.get("speaker"),
        overheard=tuple((who, what) for who, what in v.get("overheard") or ()),
        replayed=owed.begun,
    )
    return waiting(turn, str(v.get("sender") or ""), now)


def run_id(message: Inbound) -> str:
    """Return the run a message starts: the same message is the same run."""
    return f"in-{hashlib.sha256(dedupe_key(message).encode()).hexdigest()[:20]}"


def reply_route(message: Inbound) -> Route:
    """Return where the answer goes: where the message came from (channels.md §3.4)."""
    return Route(
        channel=message.channel,
        account_id=message.account_id,
        to=message.peer.to,
        thread_id=message.peer.thread_id,
        chat_type=message.chat_type,
        via=REPLY,
    )


def dedupe_key(message: Inbound) -> str:
    """Return what makes a message the same message (channels.md §5)."""
    return "|".join((*chat_of(message), message.message_id))


def chat_of(message: Inbound) -> tuple[str, ...]:
    """Return the chat a message was written in."""
    peer = message.peer
    return message.channel, message.account_id, peer.to, peer.thread_id or ""


def last_route(message: Inbound, agent_id: str, session_key: str, now: datetime) -> LastRoute:
    """Return the route an admitted message teaches (channels.md §4); a DM has no thread."""
    direct = message.chat_type is ChatType.DIRECT
    return LastRoute(
        agent_id=agent_id,
        session_key=session_key,
        channel=message.channel,
        account_id=message.account_id,
        to=message.peer.to,
        thread_id=None if direct else message.peer.thread_id,
        chat_type=message.chat_type,
        peer_label=message.sender_label,
        set_at=now,
        set_by=message.message_id,
    )
