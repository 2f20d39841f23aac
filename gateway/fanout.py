"""Events to every connection that may see them: order, numbers, back-pressure (protocol.md §7).

``seq`` is per connection and gap-free after the scope filter. A slow reader loses what may
be dropped, then its connection; it never delays anybody else.

An event is encoded once; what differs per connection is its number. One that comes alone leaves
at once, those of a storm leave together every few milliseconds: two hundred readers of a
thousand events a second would otherwise be two hundred thousand writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

from engine.clock import Clock
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
_MOMENT: Final = timedelta(milliseconds=20)  # between two writes of a storm
_WISH: Final = "engine.events:"
_ALWAYS: Final = frozenset({"tick", "shutdown"})
_VERSIONED: Final = frozenset({"presence", "health"})


class Line(Protocol):
    """One connection's way out. Writing never blocks."""

    def write(self, text: str) -> None:
        """Queue one frame."""

    def write_all(self, texts: Sequence[bytes]) -> None:
        """Queue frames that are bytes already, in one write."""

    def buffered(self) -> int:
        """Bytes the peer has not taken yet."""

    def end(self, code: int, reason: str) -> None:
        """Close with a code and a reason."""


Later = Callable[[Callable[[], None]], bool]
"""Calls a work in a moment; False: the last one is long past, so it may be done now."""


@dataclass(slots=True)
class _Member:
    session: Session
    line: Line
    kinds: frozenset[str] | None  # events it asked for; None: all
    seq: int = 0
    sees: dict[str, bool] = field(default_factory=dict)  # by name, where no payload decides
    waiting: list[tuple[bytes, bool]] = field(default_factory=list)  # frame, may be dropped


@dataclass(slots=True)
class Moments:
    """Spaces works by a moment: the first after a pause is done at once, the rest gathered."""

    clock: Clock
    _last: timedelta | None = None
    _due: bool = False

    def __call__(self, work: Callable[[], None]) -> bool:
        """Whether ``work`` will be called in a moment; else it is to be done now."""
        if self._due:
            return True
        now = self.clock.monotonic()
        if self._last is None or now - self._last >= _MOMENT:
            self._last = now
            return False
        self._due = True
        wait = (self._last + _MOMENT - now).total_seconds()
        asyncio.get_running_loop().call_later(wait, self._do, work)
        return True

    def _do(self, work: Callable[[], None]) -> None:
        self._due, self._last = False, self.clock.monotonic()
        work()


def _at_once(_: Callable[[], None]) -> bool:
    return False


@dataclass(slots=True)
class Fanout:
    """All connections that are past hello."""

    state_version: Callable[[], Mapping[str, int]]
    replay: Replay = field(default_factory=Replay)
    later: Later = _at_once
    _members: dict[str, _Member] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)  # chat text per run, for deltas on wire 4

    def __len__(self) -> int:
        return len(self._members)

    def join(self, session: Session, line: Line) -> None:
        """From now on this connection gets events; its first one is number 1."""
        self._members[session.conn_id] = _Member(session, line, _kinds(session))

    def leave(self, session: Session) -> None:
        """It is gone, and what waited for it."""
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
        tail = b"}" if version is None else b',"stateVersion":%b}' % frames.encode(version).encode()
        drop = name in DROPPABLE or (name == "chat" and _state(payload) == "delta")
        texts = _texts(name, payload, self._told)
        heads = {wire: frames.event(name, text)[:-1].encode() for wire, text in texts.items()}
        for member in self._members.values():
            known = member.sees.get(name)
            if _sees(name, payload, member) if known is None else known:
                member.seq += 1  # also for what is dropped: the reader sees the gap (§6)
                head = heads[min(member.session.protocol, 4)]
                member.waiting.append((b'%b,"seq":%d%b' % (head, member.seq, tail), drop))
        if not self.later(self.flush):
            self.flush()

    def flush(self) -> None:
        """Let go of every event that waits to leave with others."""
        for member in tuple(self._members.values()):
            if member.waiting:
                self._let_go(member)

    def settle(self, conn_id: str) -> None:
        """Let go of what waits for one connection: nothing overtakes an event."""
        member = self._members.get(conn_id)
        if member is not None and member.waiting:
            self._let_go(member)

    def end(self, whom: Callable[[Session], bool], code: int, reason: str) -> None:
        """Close the connections of some."""
        self.flush()
        for member in tuple(self._members.values()):
            if whom(member.session):
                member.line.end(code, reason)

    def tell(self, conn_ids: Collection[str], name: str, payload: object) -> None:
        """Send to these connections only; such an event has no number (§7.1)."""
        self.flush()
        for conn_id in tuple(conn_ids):
            member = self._members.get(conn_id)
            if member is not None and _may_see(name, payload, member):
                frame = frames.event(name, frames.payload_text(payload))
                if member.line.buffered() + len(frame) <= MAX_BUFFERED:
                    member.line.write(frame)

    def close_all(self, code: int, reason: str) -> None:
        """Close every connection."""
        self.flush()
        for member in tuple(self._members.values()):
            member.line.end(code, reason)

    def _let_go(self, member: _Member) -> None:
        """Write what waits for a member; of what a slow reader has no room for some is dropped."""
        waiting, member.waiting = member.waiting, []
        room = MAX_BUFFERED - member.line.buffered()
        if sum(len(frame) for frame, _ in waiting) <= room:
            member.line.write_all([frame for frame, _ in waiting])
            return
        fits = []
        for frame, drop in waiting:
            if len(frame) <= room:
                room -= len(frame)
                fits.append(frame)
            elif not drop:
                member.line.write_all(fits)
                member.line.end(1008, "slow consumer")
                self.leave(member.session)
                return
        member.line.write_all(fits)


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


def _sees(name: str, payload: object, member: _Member) -> bool:
    """The same, remembered: a session's rights do not change while it lasts."""
    found = _may_see(name, payload, member)
    if name != "agent":
        member.sees[name] = found
    return found


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
