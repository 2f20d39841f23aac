"""Anthropic's messages, asked for real on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import AgentFailure, FailureClass, Message, Tool, TurnReply, TurnRequest
from engine.agents.model import ModelAgent
from engine.agents.provider import ANTHROPIC, Candidate, Price, Provider
from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import KEY, OpenAIServer, Plan

# Whoever asks first in a process imports the model library: seconds, and more on a busy machine.
pytestmark = pytest.mark.timeout(90)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def at_once(_: timedelta) -> None:
    return


@asynccontextmanager
async def agent_on(server: OpenAIServer, **provider: Any) -> AsyncIterator[ModelAgent]:
    made = Provider(
        id="anthropic", api=ANTHROPIC, base_url=server.base_url, api_key=KEY, **provider
    )
    agent = ModelAgent([Candidate(provider=made, model="claude")], sleep=at_once)
    try:
        yield agent
    finally:
        await agent.close()


async def answer(
    *plans: Plan, provider: Mapping[str, Any] | None = None, **request: Any
) -> tuple[TurnReply, list[dict[str, Any]]]:
    async with AnthropicServer(*plans) as server, agent_on(server, **(provider or {})) as agent:
        reply = await agent.answer(turn(**request))
        return reply, [one["body"] for one in server.requests]


def turn(**changes: Any) -> TurnRequest:
    facts: dict[str, Any] = {"prompt": "hello", "system_prompt": "Be brief."}
    return TurnRequest(
        run_id="r",
        agent_id="a",
        session_key="s",
        kind="chat",
        now=NOON,
        **{**facts, **changes},
    )


def look(said: str = "sunny") -> Tool:
    async def call(_: Mapping[str, Any]) -> str:
        return said

    schema = {"type": "object", "properties": {}}
    return Tool(name="look", description="Look outside.", parameters=schema, call=call)


async def test_tokens_are_counted_with_those_of_the_cache_and_priced() -> None:
    price = Price(input=3, output=15, cache_read=0.3, cache_write=3.75)
    reply, _ = await answer(provider={"prices": {"claude": price}})
    used = reply.usage
    assert used is not None
    assert (used.input_tokens, used.output_tokens) == (131, 7)
    assert (used.cache_read_tokens, used.cache_write_tokens) == (100, 20)
    assert used.cost_usd == pytest.approx((11 * 3 + 7 * 15 + 100 * 0.3 + 20 * 3.75) / 1e6)


async def test_the_conversation_begins_with_a_person_and_its_turns_alternate() -> None:
    said = [("assistant", "old"), ("user", "a"), ("user", "b"), ("assistant", "c")]
    history = [Message(role=role, text=text) for role, text in said]
    _, (body,) = await answer(history=history)
    assert [one["role"] for one in body["messages"]] == ["user", "assistant", "user"]
    assert [block["text"] for block in body["messages"][0]["content"]] == ["a", "b"]
    assert body["system"] == "Be brief."
    assert body["max_tokens"] == 8192


async def test_a_tool_is_used_and_its_thought_goes_back_with_its_signature() -> None:
    plans = (
        Plan(text=None, reasoning="I must look.", tool_calls=[("look", {})]),
        Plan(text="Sunny."),
    )
    reply, (first, second) = await answer(*plans, tools=[look()])
    assert reply.text == "Sunny."
    assert reply.reasoning == "I must look."
    assert [call.name for call in reply.tool_calls] == ["look"]
    assert first["tools"][0]["name"] == "look"
    thought, call = second["messages"][1]["content"]
    assert thought == {"type": "thinking", "thinking": "I must look.", "signature": "sig"}
    assert call["id"] == "toolu_0"
    assert second["messages"][2]["content"][0]["content"] == "sunny"


@pytest.mark.parametrize(
    ("level", "limit", "thinking", "most"),
    [
        (None, None, None, 8192),
        ("off", None, None, 8192),
        ("low", None, {"type": "enabled", "budget_tokens": 4096}, 12_288),
        ("ultra", None, {"type": "enabled", "budget_tokens": 32_768}, 40_960),
        ("high", 4000, {"type": "enabled", "budget_tokens": 2976}, 4000),
        ("high", 1500, None, 1500),
        ("adaptive", None, {"type": "adaptive"}, 8192),
    ],
)
async def test_how_much_it_thinks(
    level: str | None, limit: int | None, thinking: dict[str, Any] | None, most: int
) -> None:
    provider = {"max_tokens": {"claude": limit}} if limit else {}
    _, (body,) = await answer(provider=provider, thinking=level)
    assert body.get("thinking") == thinking
    assert body["max_tokens"] == most


@pytest.mark.parametrize(
    ("plan", "failure"),
    [
        (Plan(status=401, error={"anthropic": "authentication_error"}), FailureClass.AUTH),
        (Plan(status=404, error={"message": "model: claude"}), FailureClass.MODEL_NOT_FOUND),
        (Plan(status=529, error={"message": "Overloaded"}), FailureClass.OVERLOADED),
        (Plan(status=500, error={"message": "oops"}), FailureClass.SERVER_ERROR),
        (
            Plan(
                status=400,
                error={
                    "anthropic": "invalid_request_error",
                    "message": "Your credit balance is too low to access the API",
                },
            ),
            FailureClass.BILLING,
        ),
        (Plan(finish_reason="length"), FailureClass.INVALID),
        (Plan(finish_reason="content_filter"), FailureClass.INVALID),
        (Plan(finish_reason="pause_turn"), FailureClass.INVALID),
        (Plan(body=["no", "message"]), FailureClass.INVALID),
        (Plan(drop=True), FailureClass.NETWORK),
    ],
)
async def test_a_refusal_has_its_class(plan: Plan, failure: FailureClass) -> None:
    with pytest.raises(AgentFailure) as caught:
        await answer(plan)
    assert caught.value.failure is failure
    assert KEY not in caught.value.message


async def test_a_limit_says_when_it_is_over() -> None:
    plan = Plan(status=429, error={"message": "slow down"}, headers={"retry-after": "120"})
    with pytest.raises(AgentFailure) as caught:
        await answer(plan)
    assert caught.value.failure is FailureClass.RATE_LIMIT
    assert caught.value.retry_after_seconds == 120


async def test_another_kind_of_model_goes_on_where_it_fails() -> None:
    async with AnthropicServer(Plan(status=529)) as claude, OpenAIServer(Plan(text="I can")) as gpt:
        agent = ModelAgent(
            [
                Candidate(
                    provider=Provider(
                        id="anthropic", api=ANTHROPIC, base_url=claude.base_url, api_key=KEY
                    ),
                    model="claude",
                ),
                Candidate(
                    provider=Provider(id="other", base_url=gpt.base_url, api_key=KEY), model="m"
                ),
            ],
            sleep=at_once,
        )
        reply = await agent.answer(turn())
        await agent.close()
    assert (reply.text, reply.provider) == ("I can", "other")
    assert reply.attempts[0]["class"] == "overloaded"
