"""What happens inside, told to whoever listens: the in-process bus.

Events are facts, published after their transaction has committed. A listener that
throws is logged and harms neither the publisher nor the other listeners.

| name            | payload (camelCase, wire-ready)                                   |
|-----------------|-------------------------------------------------------------------|
| `cron`          | `{action, jobId, runId?, status?, ...}` (cron.md §15)              |
| `heartbeat`     | the record of `engine heartbeat last` (heartbeat.md §9.1), `seq`   |
| `agent`         | `{runId, seq, stream, ts, data, sessionKey?}` (protocol.md §7.1)   |
| `chat`          | `{runId, sessionKey, seq, state, message?}` (protocol.md §7.1)     |
| `outbox`        | `{key, state}`: a delivery moved; wakes the sender                 |
| `channel`       | `{channel, accountId, runtime}`: a channel's state changed         |
| `gateway.suspension` | `{phase}`: running, draining, suspended (protocol.md §7.1)    |
| `config`        | `{paths}`: a new config is in force                                |
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """One fact."""

    name: str
    payload: Mapping[str, Any]


Listener = Callable[[Event], None]


class Bus:
    """Synchronous fan-out inside one process."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` for every event from now on; the return value stops that."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def publish(self, name: str, payload: Mapping[str, Any]) -> None:
        """Tell every listener, in the order they came."""
        event = Event(name, payload)
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("listener failed", extra={"event": name})
