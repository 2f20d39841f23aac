"""Events to every connection that may see them: order, numbers, back-pressure (protocol.md §7).

``seq`` is per connection and gap-free after the scope filter. A slow reader loses what may
be dropped, then its connection; it never delays anybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from engine.events import Event
from gateway.newer import chat_words, further
from gateway.protocol import frames
from gateway.protocol.frames import MAX_BUFFERED
from gateway.protocol.handshake import Session
from gateway.protocol.methods import DROPPABLE, EVENTS, NEWER, Scope, allows
from gateway.replay import Replay

_BUS: Final = frozenset(
    {
        "cron",
        "heartbeat",
        "agent",
        "chat",
        "exec.approval.requested",
        "exec.approval.resolved",
        "gateway.suspension",
    }
)
_WISH: Final = "engine.events:"
_ALWAYS: Final = frozenset({"tick", "shutdown"})
_VERSIONED: Final = frozenset({"presence", "health"})


class Line(Protocol):
    """One connection's way out. Writing never blocks."""

    def write(self, text: str) -> None:
        """Queue one frame."""

    def buffered(self) -> int:
        """Bytes the peer has not taken yet."""

    def end(self, code: int, reason: str) -> None:
        """Close with a code and a reason."""


@dataclass(slots=True)
class _Member:
    session: Session
    line: Line
    kinds: frozenset[str] | None  # events it asked for; None: all
    seq: int = 0


@dataclass(slots=True)
class Fanout:
    """All connections that are past hello."""

    state_version: Callable[[], Mapping[str, int]]
    replay: Replay = field(default_factory=Replay)
    _members: dict[str, _Member] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)  # chat text per run, for deltas on wire 4

    def __len__(self) -> int:
        return len(self._members)

    def join(self, session: Session, line: Line) -> None:
        """From now on this connection gets events; its first one is number 1."""
        self._members[session.conn_id] = _Member(session, line, _kinds(session))

    def leave(self, session: Session) -> None:
        """It is gone."""
        self._members.pop(session.conn_id, None)

    def on_bus(self, event: Event) -> None:
        """Pass on what clients may know of the bus."""
        if event.name in _BUS:
            self.publish(event.name, self.replay.numbered(event.name, event.payload))
        for name, payload in further(event):
            self.publish(name, payload)

    def publish(self, name: str, payload: object) -> None:
        """Send to everyone who may see it. The payload is encoded once per wire version."""
        version = self.state_version() if name in _VERSIONED else None
        drop = name in DROPPABLE or (name == "chat" and _state(payload) == "delta")
        texts = _texts(name, payload, self._told)
        for member in tuple(self._members.values()):
            if _may_see(name, payload, member):
                text = texts[min(member.session.protocol, 4)]
                self._deliver(member, name, text, version, drop=drop)

    def end(self, whom: Callable[[Session], bool], code: int, reason: str) -> None:
        """Close the connections of some."""
        for member in tuple(self._members.values()):
            if whom(member.session):
                member.line.end(code, reason)

    def tell(self, conn_ids: Collection[str], name: str, payload: object) -> None:
        """Send to these connections only; such an event has no number (§7.1)."""
        for conn_id in tuple(conn_ids):
            member = self._members.get(conn_id)
            if member is not None and _may_see(name, payload, member):
                frame = frames.event(name, frames.payload_text(payload))
                if member.line.buffered() + len(frame) <= MAX_BUFFERED:
                    member.line.write(frame)

    def close_all(self, code: int, reason: str) -> None:
        """Close every connection."""
        for member in tuple(self._members.values()):
            member.line.end(code, reason)

    def _deliver(
        self,
        member: _Member,
        name: str,
        text: str,
        version: Mapping[str, int] | None,
        *,
        drop: bool,
    ) -> None:
        member.seq += 1  # also for what is dropped: the reader sees the gap (§6)
        frame = frames.event(name, text, seq=member.seq, state_version=version)
        if member.line.buffered() + len(frame) <= MAX_BUFFERED:
            member.line.write(frame)
        elif not drop:
            member.line.end(1008, "slow consumer")
            self.leave(member.session)


def _state(payload: object) -> object:
    return payload.get("state") if isinstance(payload, Mapping) else None


def _kinds(session: Session) -> frozenset[str] | None:
    """The kinds a client asked for: `engine.events:cron,heartbeat` among its caps (§14).

    Read once: a list of caps may be as long as the first frame. What tells of the connection
    itself is never left out.
    """
    wishes = [cap for cap in session.caps if cap.startswith(_WISH)]
    if not wishes:
        return None
    told = {kind.strip() for cap in wishes for kind in cap.removeprefix(_WISH).split(",")}
    return _ALWAYS | told


def _may_see(name: str, payload: object, member: _Member) -> bool:
    """§7.1: scope, role, and capabilities."""
    session = member.session
    if member.kinds is not None and name not in member.kinds:
        return False
    if name == "presence" and session.protocol < 4:
        return True
    if name in NEWER and session.protocol < 4:
        return False
    if name not in EVENTS:
        return allows(session.scopes, Scope.ADMIN)
    if session.role != "operator" and EVENTS[name] is not None:
        return False
    if name == "agent" and isinstance(payload, Mapping) and payload.get("stream") == "tool":
        return "tool-events" in session.caps and allows(session.scopes, EVENTS[name])
    return allows(session.scopes, EVENTS[name])


def _texts(name: str, payload: object, told: dict[str, str]) -> dict[int, str]:
    """JSON text of the payload per wire version."""
    text = frames.payload_text(payload)
    if name != "chat" or not isinstance(payload, Mapping):
        return {3: text, 4: text}
    run_id = str(payload.get("runId"))
    if payload.get("state") != "delta":
        told.pop(run_id, None)
        return {3: text, 4: frames.encode(chat_words(payload))}
    whole = _words(payload)
    before = told.get(run_id, "")
    told[run_id] = whole
    newer: dict[str, Any] = dict(chat_words(payload))
    if whole.startswith(before):
        newer["deltaText"] = whole[len(before) :]
    else:
        newer |= {"deltaText": whole, "replace": True}
    return {3: text, 4: frames.encode(newer)}


def _words(payload: Mapping[str, Any]) -> str:
    content = (payload.get("message") or {}).get("content") or []
    return "".join(part.get("text", "") for part in content if isinstance(part, Mapping))
