"""What every agent promises, whichever kind it is. Each is asked for real."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from engine.agents.base import Agent, AgentFailure, FailureClass, TurnRequest
from engine.agents.command import CommandAgent, CommandBackend
from engine.agents.model import ModelAgent
from engine.agents.offline import OfflineAgent, read_script
from engine.agents.provider import ANTHROPIC, COMPLETIONS, Candidate, Provider
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import KEY, OpenAIServer, Plan, rate_limited

# Whoever asks first in a process imports the model library: seconds, and more on a busy machine.
pytestmark = pytest.mark.timeout(90)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def turn(prompt: str = "hello", **changes: Any) -> TurnRequest:
    facts: dict[str, Any] = {
        "run_id": "r1",
        "agent_id": "main",
        "session_key": "agent:main:main",
        "kind": "chat",
        "now": NOON,
    }
    return TurnRequest(prompt=prompt, **{**facts, **changes})


async def forever(_: timedelta) -> None:
    await asyncio.Event().wait()


async def at_once(_: timedelta) -> None:
    return


class Bench(Protocol):
    """Makes one kind of agent that does what a test needs."""

    def says(self, text: str) -> Any: ...

    def is_rate_limited(self) -> Any: ...

    def hangs(self) -> Any: ...

    async def hanging(self) -> None: ...


class OfflineBench:
    @asynccontextmanager
    async def _agent(self, *script: dict[str, Any]) -> AsyncIterator[Agent]:
        yield OfflineAgent(read_script(list(script)), sleep=self._sleep)

    async def _sleep(self, pause: timedelta) -> None:
        self.asleep.set()
        await forever(pause)

    def __init__(self) -> None:
        self.asleep = asyncio.Event()

    def says(self, text: str) -> Any:
        return self._agent({"say": text})

    def is_rate_limited(self) -> Any:
        return self._agent({"fail": {"class": "rate_limit", "message": "too many requests"}})

    def hangs(self) -> Any:
        return self._agent({"say": "late", "takesMs": 1000})

    async def hanging(self) -> None:
        await self.asleep.wait()


class CommandBench:
    def __init__(self, folder: Path) -> None:
        self.started = folder / "started"

    @asynccontextmanager
    async def _agent(self, script: str) -> AsyncIterator[Agent]:
        yield CommandAgent(CommandBackend(id="prog", command=sys.executable, args=("-c", script)))

    def says(self, text: str) -> Any:
        return self._agent(f"import sys; sys.stdin.read(); print({text!r})")

    def is_rate_limited(self) -> Any:
        return self._agent("import sys; sys.exit('error: rate limit reached, key sk-secret123456')")

    def hangs(self) -> Any:
        os.mkfifo(self.started)
        return self._agent(
            f"open({str(self.started)!r}, 'w').close(); import threading; threading.Event().wait()"
        )

    async def hanging(self) -> None:
        # The program says it runs by opening the other end of this pipe.
        await asyncio.to_thread(self.started.read_text)


class ModelBench:
    def __init__(self, kind: type[OpenAIServer] = OpenAIServer, api: str = COMPLETIONS) -> None:
        self.server: OpenAIServer | None = None
        self._kind = kind
        self._api = api

    @asynccontextmanager
    async def _agent(self, *plans: Plan) -> AsyncIterator[Agent]:
        async with self._kind(*plans) as server:
            self.server = server
            provider = Provider(id="stand-in", base_url=server.base_url, api_key=KEY, api=self._api)
            agent = ModelAgent(
                [Candidate(provider=provider, model="m")], sleep=at_once, sdk_retries=0
            )
            try:
                yield agent
            finally:
                await agent.close()

    def says(self, text: str) -> Any:
        return self._agent(Plan(text=text))

    def is_rate_limited(self) -> Any:
        return self._agent(rate_limited())

    def hangs(self) -> Any:
        return self._agent(Plan(hang=True))

    async def hanging(self) -> None:
        assert self.server is not None
        await self.server.asked.wait()


@pytest.fixture(params=["offline", "command", "model", "anthropic"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    match request.param:
        case "offline":
            return OfflineBench()
        case "command":
            return CommandBench(tmp_path)
        case "anthropic":
            return ModelBench(AnthropicServer, ANTHROPIC)
        case _:
            return ModelBench()


async def test_it_answers_in_words(bench: Bench) -> None:
    async with bench.says("All is well.\nReally.") as agent:
        reply = await agent.answer(turn())
    assert reply.text == "All is well.\nReally."
    assert reply.payloads == ("All is well.\nReally.",)
    assert reply.provider


async def test_words_of_any_script_survive(bench: Bench) -> None:
    async with bench.says("磁盘已满 — ü 🚀") as agent:
        assert (await agent.answer(turn())).text == "磁盘已满 — ü 🚀"


async def test_saying_nothing_is_an_answer(bench: Bench) -> None:
    async with bench.says("") as agent:
        assert (await agent.answer(turn())).text == ""


async def test_a_failure_has_a_class_and_holds_no_secret(bench: Bench) -> None:
    async with bench.is_rate_limited() as agent:
        with pytest.raises(AgentFailure) as caught:
            await agent.answer(turn())
    assert caught.value.failure is FailureClass.RATE_LIMIT
    assert caught.value.failure.transient
    assert caught.value.message
    assert "sk-" not in caught.value.message


async def test_cancelling_ends_the_turn(bench: Bench) -> None:
    async with bench.hangs() as agent:
        task = asyncio.create_task(agent.answer(turn()))
        await bench.hanging()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, timeout=5)


async def test_a_deadline_of_the_caller_ends_the_turn(bench: Bench) -> None:
    async with bench.hangs() as agent:
        task = asyncio.create_task(agent.answer(turn()))
        await bench.hanging()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(task, timeout=0)
        assert task.done()


async def test_turns_at_the_same_time_do_not_mix(bench: Bench) -> None:
    async with bench.says("mine") as agent:
        replies = await asyncio.gather(
            *(agent.answer(turn(run_id=f"r{n}", session_key=f"agent:main:{n}")) for n in range(5))
        )
    assert [reply.text for reply in replies] == ["mine"] * 5


async def test_a_reply_can_be_written_down(bench: Bench) -> None:
    async with bench.says("words") as agent:
        reply = await agent.answer(turn())
    calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in reply.tool_calls]
    assert json.dumps([reply.payloads, reply.attempts, calls, reply.model, reply.provider])
