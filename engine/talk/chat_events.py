"""Tells the bus about one chat turn, each event numbered (protocol.md §7.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.clock import Clock
from engine.events import Bus
from engine.messages.delivery import Delivery
from jobs.wallclock import ms


class ChatEvents:
    """The `agent` and `chat` events of one turn, in order."""

    def __init__(self, bus: Bus, clock: Clock, *, run_id: str, session_key: str) -> None:
        self._bus = bus
        self._clock = clock
        self._run_id = run_id
        self._session_key = session_key
        self._seqs = {"agent": 0, "chat": 0}

    def started(self) -> None:
        """The turn is asked for; it may still wait for its lane."""
        self._agent("lifecycle", {"phase": "start", "startedAt": self._ms()})

    def answered(self, text: str) -> None:
        """The turn has ended; without words there was nothing to say."""
        if text:
            self._agent("assistant", {"text": text})
        self._agent("lifecycle", {"phase": "end", "endedAt": self._ms()})
        content = [{"type": "text", "text": text}]
        message = {"role": "assistant", "content": content, "timestamp": self._ms()}
        self._say("final", message=message)

    def failed(self, message: str) -> None:
        """The turn has ended without an answer."""
        self._agent("lifecycle", {"phase": "error", "error": message, "endedAt": self._ms()})
        self._say("error", errorMessage=message)

    def aborted(self) -> None:
        """A person has cancelled the turn."""
        self._agent("lifecycle", {"phase": "end", "aborted": True, "endedAt": self._ms()})
        self._say("aborted")

    def queued(self, delivery: Delivery) -> None:
        """Words for the person are in the outbox."""
        self._bus.publish("outbox", {"key": delivery.key, "state": delivery.state.value})

    def _agent(self, stream: str, data: Mapping[str, Any]) -> None:
        self._publish("agent", {"stream": stream, "ts": self._ms(), "data": dict(data)})

    def _say(self, state: str, **more: Any) -> None:
        self._publish("chat", {"state": state, **more})

    def _publish(self, name: str, payload: Mapping[str, Any]) -> None:
        self._seqs[name] += 1
        head = {"runId": self._run_id, "sessionKey": self._session_key, "seq": self._seqs[name]}
        self._bus.publish(name, {**head, **payload})

    def _ms(self) -> int | None:
        return ms(self._clock.now())
