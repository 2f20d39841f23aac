"""An agent that says what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from engine.agents.base import Agent, AgentFailure, FailureClass, TurnReply, TurnRequest
from engine.clock import Clock
from jobs.values import changed

OK: Final = "HEARTBEAT_OK"

# A text, a whole reply, a failure by class or with its words, or a function of the request.
Answer = str | TurnReply | FailureClass | AgentFailure | Callable[[TurnRequest], str]


class ScriptedAgent:
    """Gives its answers in order; after the last one, ``then`` again and again.

    ``takes`` is how long each turn lasts on the simulation's clock. ``requests`` are the
    turns it was asked for, oldest first.
    """

    def __init__(self, *answers: Answer, then: Answer = OK, takes: timedelta = timedelta()) -> None:
        self._answers = list(answers)
        self._then = then
        self.takes = takes
        self.requests: list[TurnRequest] = []
        self.clock: Clock | None = None  # set by the simulation

    async def answer(self, request: TurnRequest) -> TurnReply:
        """Answer, or fail, as told."""
        self.requests.append(request)
        answer = self._answers.pop(0) if self._answers else self._then
        if self.takes and self.clock is not None:
            await self.clock.sleep_until(self.clock.now() + self.takes)
        return _given(answer, request)


def _given(answer: Answer, request: TurnRequest) -> TurnReply:
    match answer:
        case TurnReply():
            return answer
        case AgentFailure():
            raise answer
        case FailureClass():
            raise AgentFailure(answer, f"scripted {answer.value}")
        case str():
            return TurnReply(payloads=(answer,), model="scripted", provider="test")
        case _:
            return TurnReply(payloads=(answer(request),), model="scripted", provider="test")


def agent_of(given: Agent | Callable[[TurnRequest], str]) -> Agent:
    """Return the agent meant: itself, or one that answers by a function."""
    if hasattr(given, "answer"):
        return given
    return ScriptedAgent(then=given)


class OneAgent:
    """Whatever model is asked for, this agent answers. See `engine.turns.turn.AgentSource`.

    ``busy`` counts turns it was asked for and has not answered.
    """

    def __init__(self, agent: Agent, *, without_tools: frozenset[str] = frozenset()) -> None:
        self._agent = agent
        self._without = without_tools
        self.busy = 0

    def build(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Agent:  # noqa: ARG002 - a promise
        """Return the agent of a ref."""
        return self

    def servers(self, ref: str | None, fallbacks: Sequence[str] = ()) -> Sequence[str | None]:  # noqa: ARG002 - a promise
        """Return that none is needed: no simulation looks for a server."""
        return ()

    async def answer(self, request: TurnRequest) -> TurnReply:
        """Answer, or raise `AgentFailure`."""
        self.busy += 1
        try:
            return await self._agent.answer(self._allowed(request))
        finally:
            self.busy -= 1

    def _allowed(self, request: TurnRequest) -> TurnRequest:
        if not self._without:
            return request
        tools = [tool for tool in request.tools if tool.name not in self._without]
        return changed(request, tools=tools)
