"""The gateway's protocol without a socket: frames in, frames and acts out (channels.md §8). Pure.

Opcodes: 10 hello, 2 identify, 6 resume, 0 dispatch, 1 heartbeat, 11 its ack, 7 reconnect,
9 invalid session. ``seq`` moves only when the shell says that an event is durable, and it is
what both heartbeats and a resume tell: what was not admitted comes again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final

from jobs.wallclock import at, ms

RESUMABLE_FOR: Final = timedelta(minutes=5)
_SHORTEST_BEAT: Final = timedelta(seconds=1)
_DEFAULT_BEAT: Final = timedelta(seconds=41)
_LONGEST_BEAT: Final = timedelta(minutes=5)


class Op(IntEnum):
    """What a frame means."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    RESUME = 6
    RECONNECT = 7
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stream of events was left: what a resume needs, and when it was known."""

    session_id: str
    seq: int
    at: datetime

    def text(self) -> str:
        """As it is stored."""
        return json.dumps({"session": self.session_id, "seq": self.seq, "at": ms(self.at)})

    def fresh(self, now: datetime) -> bool:
        """Whether the platform is likely to know it still."""
        return now - self.at < RESUMABLE_FOR


def place_of(text: str | None) -> Place | None:
    """Read a stored place; anything unreadable is none."""
    try:
        v = json.loads(text or "null")
        return Place(str(v["session"]), int(v["seq"]), at(int(v["at"])))
    except (ValueError, TypeError, KeyError):
        return None


@dataclass(frozen=True, slots=True)
class Hello:
    """The platform is there: authenticate now, and send a heartbeat so often."""

    every: timedelta


@dataclass(frozen=True, slots=True)
class Ready:
    """The session stands. ``resumed``: events sent while away come now."""

    resumed: bool
    me: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. Tell `Session.admitted` its ``seq`` once it is durable."""

    seq: int | None
    kind: str
    data: Mapping[str, Any]
    event_id: str


@dataclass(frozen=True, slots=True)
class Beat:
    """The platform asks for a heartbeat at once."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End this connection."""

    reason: str
    invalid_session: bool = False
    asked_to_reconnect: bool = False


Act = Hello | Ready | Happened | Beat | Leave


class Session:
    """One session, over as many connections as it takes. Knows no sockets and no time."""

    def __init__(self, intents: int, *, session_id: str | None = None, seq: int = 0) -> None:
        self._intents = intents
        self.session_id = session_id
        self.seq = seq
        self._acked = True

    def forget(self) -> None:
        """The platform does not know this session any more: the next connection identifies."""
        self.session_id, self.seq = None, 0

    def opened(self) -> None:
        """A new connection: nothing of the old one is outstanding."""
        self._acked = True

    def authenticate(self, token: str) -> str:
        """Return the frame that follows hello: resume if there is something to resume."""
        if self.session_id is not None:
            return _frame(
                Op.RESUME, {"token": token, "session_id": self.session_id, "seq": self.seq}
            )
        return _frame(
            Op.IDENTIFY,
            {"token": token, "intents": self._intents, "shard": [0, 1], "properties": {}},
        )

    def heartbeat(self) -> str | None:
        """Return the next heartbeat, or None if the last one was never answered."""
        if not self._acked:
            return None
        self._acked = False
        return self.pulse()

    def pulse(self) -> str:
        """Return a heartbeat nobody waits for."""
        return _frame(Op.HEARTBEAT, self.seq or None)

    def admitted(self, seq: int | None) -> None:
        """An event is durable: it need not come again."""
        if seq is not None and seq > self.seq:
            self.seq = seq

    def receive(self, text: str | bytes) -> Act | None:
        """Take one frame; None asks for nothing. What cannot be read is passed over."""
        frame = _read(text)
        data = frame.get("d")
        match frame.get("op"):
            case Op.HELLO:
                return Hello(_interval(data))
            case Op.DISPATCH:
                return self._dispatched(frame, data if isinstance(data, Mapping) else {})
            case Op.HEARTBEAT:
                return Beat()
            case Op.HEARTBEAT_ACK:
                self._acked = True
            case Op.RECONNECT:
                return Leave("asked to reconnect", asked_to_reconnect=True)
            case Op.INVALID_SESSION:
                return Leave("the session is not valid any more", invalid_session=True)
            case _:
                pass
        return None

    def _dispatched(self, frame: Mapping[str, Any], data: Mapping[str, Any]) -> Act:
        seq, kind = _seq(frame.get("s")), str(frame.get("t") or "")
        if kind == "READY":
            self.session_id, self.seq = str(data.get("session_id") or "") or None, seq or 0
            me = data.get("user")
            return Ready(resumed=False, me=me if isinstance(me, Mapping) else {})
        if kind == "RESUMED":
            self.admitted(seq)
            return Ready(resumed=True, me={})
        return Happened(seq, kind, data, str(frame.get("id") or ""))


def _frame(op: Op, data: object) -> str:
    return json.dumps({"op": int(op), "d": data}, ensure_ascii=False)


def _read(text: str | bytes) -> Mapping[str, Any]:
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return frame if isinstance(frame, Mapping) else {}


def _seq(value: object) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62
    return value if whole and isinstance(value, int) else None


def _interval(data: object) -> timedelta:
    value = data.get("heartbeat_interval") if isinstance(data, Mapping) else None
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        return _DEFAULT_BEAT
    capped = min(float(value), _LONGEST_BEAT / timedelta(milliseconds=1))
    return max(timedelta(milliseconds=capped), _SHORTEST_BEAT)
