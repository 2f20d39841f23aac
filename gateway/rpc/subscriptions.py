"""Who wants to hear of conversations: the index, or single ones (protocol.md §7.1, §10.6)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.clock import Clock
from engine.events import Event
from jobs.wallclock import ms

Tell = Callable[[Collection[str], str, object], None]  # connections, event, payload
_ENDS: Final = frozenset({"final", "error", "aborted"})


@dataclass(slots=True)
class Subscriptions:
    """Connections and what they asked to hear; forgotten as they leave."""

    tell: Tell
    clock: Clock
    _index: set[str] = field(default_factory=set)
    _sessions: dict[str, set[str]] = field(default_factory=dict)  # by session key

    def follow(self, conn_id: str, key: str | None = None) -> None:
        """Tell this connection of the index, or of one conversation."""
        (self._index if key is None else self._sessions.setdefault(key, set())).add(conn_id)

    def unfollow(self, conn_id: str, key: str | None = None) -> None:
        """Tell it no more."""
        if key is None:
            self._index.discard(conn_id)
        elif key in self._sessions:
            self._sessions[key].discard(conn_id)
            if not self._sessions[key]:
                del self._sessions[key]

    def leave(self, conn_id: str) -> None:
        """It is gone."""
        self._index.discard(conn_id)
        for key in [key for key, who in self._sessions.items() if conn_id in who]:
            self.unfollow(conn_id, key)

    def changed(self, key: str, reason: str) -> None:
        """The index is not what it was."""
        if self._index:
            told = {"sessionKey": key, "reason": reason, "ts": ms(self.clock.now())}
            self.tell(self._index, "sessions.changed", told)

    def on_bus(self, event: Event) -> None:
        """A conversation went on."""
        if event.name == "chat" and event.payload.get("state") in _ENDS:
            self._ended(event.payload)

    def _ended(self, said: Mapping[str, Any]) -> None:
        key = str(said.get("sessionKey") or "")
        self.changed(key, "message")
        if (who := self._sessions.get(key)) and said.get("message"):
            told = {"sessionKey": key, "runId": said.get("runId"), "message": said["message"]}
            self.tell(who, "session.message", told)
