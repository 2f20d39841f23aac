from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import AgentFailure, FailureClass, Tool, TurnReply, TurnRequest
from engine.agents.command import CommandAgent, CommandBackend
from engine.agents.factory import AgentFactory, FallbackAgent
from engine.agents.model import ModelAgent
from engine.agents.offline import OfflineAgent, read_script
from engine.agents.provider import Provider

# Whoever asks first in a process imports the model library: seconds, and more on a busy machine.
pytestmark = pytest.mark.timeout(90)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def at_once(_: timedelta) -> None:
    return


def factory(script: list[dict[str, Any]] | None = None) -> AgentFactory:
    return AgentFactory(
        providers={"local": Provider(id="local", base_url="http://127.0.0.1:9/v1")},
        backends={
            "cat": CommandBackend(
                id="cat",
                command=sys.executable,
                args=("-c", "import sys; print(sys.stdin.read())"),
            ),
            "gone": CommandBackend(id="gone", command="no-such-program"),
        },
        script=read_script(script or []),
        sleep=at_once,
    )


def turn(**changes: Any) -> TurnRequest:
    values: dict[str, Any] = {"prompt": "hi", **changes}
    return TurnRequest(run_id="r", agent_id="a", session_key="s", kind="chat", now=NOON, **values)


async def test_a_ref_finds_its_kind_of_agent() -> None:
    rooms = factory()
    assert isinstance(rooms.build(None), OfflineAgent)
    assert isinstance(rooms.build("offline"), OfflineAgent)
    assert isinstance(rooms.build("local/llama"), ModelAgent)
    assert isinstance(rooms.build("cat"), CommandAgent)
    assert isinstance(rooms.build("cat/big"), CommandAgent)


def test_the_servers_behind_refs_are_told_and_none_for_what_needs_none() -> None:
    rooms = factory()
    url = "http://127.0.0.1:9/v1"
    assert rooms.servers("local/llama", ["offline", "cat"]) == [url, None, None]
    assert rooms.servers(None) == [None]
    assert rooms.servers("nobody/nothing") == ()


async def test_an_agent_is_built_once() -> None:
    rooms = factory()
    assert rooms.build("local/llama") is rooms.build("local/llama")
    assert rooms.build("local/llama") is not rooms.build("local/llama", ["local/other"])


@pytest.mark.parametrize("ref", ["nobody/model", "gpt-5", "local", "offline/x"])
async def test_a_ref_that_names_nothing_is_a_failure_with_what_to_do(ref: str) -> None:
    with pytest.raises(AgentFailure, match="Fix: ") as caught:
        factory().build(ref)
    assert caught.value.failure is FailureClass.MODEL_NOT_FOUND
    assert repr(ref) in caught.value.message


async def test_models_share_one_turn_and_other_kinds_are_asked_in_order() -> None:
    rooms = factory()
    assert isinstance(rooms.build("local/a", ["local/b"]), ModelAgent)
    mixed = rooms.build("gone", ["cat"])
    assert isinstance(mixed, FallbackAgent)
    reply = await mixed.answer(turn())
    assert (reply.text, reply.provider) == ("hi", "cat")
    assert [one["model"] for one in reply.attempts] == ["gone"]


async def test_when_all_fail_the_last_failure_lists_them() -> None:
    with pytest.raises(AgentFailure) as caught:
        await factory().build("gone", ["gone/x"]).answer(turn())
    assert [one["model"] for one in caught.value.attempts] == ["gone", "gone/x"]


class Told:
    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, request: TurnRequest) -> TurnReply:
        self.asked += 1
        return TurnReply(payloads=(f"second of {request.run_id}",))


@pytest.mark.parametrize(("side_effects", "asked"), [(True, 0), (False, 1)])
async def test_nobody_takes_over_a_turn_that_has_acted(side_effects: bool, asked: int) -> None:
    async def pay(_: Mapping[str, Any]) -> str:
        return "paid"

    tool = Tool(name="pay", description="", parameters={}, call=pay, side_effects=side_effects)
    script = read_script([{"tools": [{"name": "pay"}], "fail": {"class": "network"}}])
    second = Told()
    agent = FallbackAgent(["one", "two"], [OfflineAgent(script, sleep=at_once), second])
    if side_effects:
        with pytest.raises(AgentFailure):
            await agent.answer(turn(tools=[tool]))
    else:
        await agent.answer(turn(tools=[tool]))
    assert second.asked == asked


async def test_closing_is_harmless_before_the_first_turn() -> None:
    rooms = factory()
    rooms.build("local/llama")
    await rooms.close()
