"""Who is around (protocol.md §7.2), and the two counters that go with events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.protocol.handshake import Session
from jobs.wallclock import MILLISECOND, ms

TTL: Final = timedelta(seconds=300)
MAX_ENTRIES: Final = 200
LONGEST: Final = 200  # of what a client tells of itself: everybody is told it


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfEntry:
    """The gateway's own line."""

    host: str
    ip: str
    version: str

    def entry(self, now: datetime) -> dict[str, Any]:
        """`gateway probe` finds it by mode and reason."""
        return {
            "host": self.host,
            "ip": self.ip,
            "version": self.version,
            "mode": "gateway",
            "reason": "self",
            "text": f"Gateway: {self.host} ({self.ip}) · app {self.version}"
            " · mode gateway · reason self",
            "ts": ms(now),
        }


class Presence:
    """At most 200 entries, each for five minutes after its last sign of life."""

    def __init__(self, own: SelfEntry) -> None:
        self.version = 0
        self._own = own
        self._entries: dict[str, dict[str, Any]] = {}
        self._connected: Counter[str] = Counter()  # one device may be here twice

    def listing(self, now: datetime) -> list[dict[str, Any]]:
        """Everyone, newest first, the gateway's own line refreshed."""
        for key in [key for key, entry in self._entries.items() if self._stale(key, entry, now)]:
            del self._entries[key]
        others = sorted(self._entries.values(), key=lambda entry: -int(entry["ts"]))
        return [self._own.entry(now), *others]

    def connected(self, session: Session, ip: str, now: datetime) -> bool:
        """A client said hello; False when it leaves no trace."""
        if session.ephemeral:
            return False
        client = session.client
        facts = {
            "host": session.name[:LONGEST],
            "ip": ip,
            "version": client.version[:LONGEST],
            "platform": client.platform[:LONGEST],
            "deviceFamily": _short(client.device_family),
            "modelIdentifier": _short(client.model_identifier),
            "mode": client.mode,
            "deviceId": session.device_id,
            "instanceId": _short(client.instance_id),
            "roles": [session.role],
            "scopes": list(session.scopes),
        }
        self._connected[_key(session)] += 1
        self._put(_key(session), {**facts, "reason": "connect"}, now)
        return True

    def disconnected(self, session: Session, now: datetime) -> bool:
        """A client left; its line stays until it is stale."""
        self._connected -= Counter({_key(session): 1})
        if _key(session) in self._connected:
            return False
        entry = self._entries.get(_key(session))
        if entry is None:
            return False
        self._put(_key(session), {**entry, "reason": "disconnect"}, now)
        return True

    def beacon(self, facts: Mapping[str, Any], now: datetime) -> bool:
        """A `system-event` reported a node; True when more than the time has changed."""
        key = str(facts.get("deviceId") or facts.get("instanceId") or facts.get("host") or "node")
        before = self._entries.get(key)
        self._put(key, facts, now)
        return before is None or {**before, "ts": 0} != {**self._entries[key], "ts": 0}

    def _put(self, key: str, facts: Mapping[str, Any], now: datetime) -> None:
        entry = {name: value for name, value in facts.items() if value is not None}
        self._entries[key] = {**entry, "ts": ms(now)}
        self.version += 1
        while len(self._entries) > MAX_ENTRIES:
            oldest = min(self._entries, key=lambda name: int(self._entries[name]["ts"]))
            del self._entries[oldest]

    def _stale(self, key: str, entry: Mapping[str, Any], now: datetime) -> bool:
        return key not in self._connected and ms(now) - int(entry["ts"]) > TTL // MILLISECOND


def _short(text: str | None) -> str | None:
    return None if text is None else text[:LONGEST]


def _key(session: Session) -> str:
    return session.device_id or session.conn_id
