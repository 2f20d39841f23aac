"""The official `openai` client against a real port (protocol.md §11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.fakes.gateway_port import TOKEN, Port, serving

openai = pytest.importorskip("openai")

USAGE = {"agentMeta": {"usage": {"input": 11, "output": 7, "total": 18}}}
HELLO = [{"role": "user", "content": "hi"}]


@asynccontextmanager
async def calling(port: Port, key: str = TOKEN) -> AsyncIterator[Any]:
    # Without the certificates of the world: reading them takes longer than all calls here.
    plain = openai.DefaultAsyncHttpxClient(verify=False, trust_env=False)
    async with openai.AsyncOpenAI(
        base_url=f"{port.site}/v1", api_key=key, max_retries=0, http_client=plain
    ) as client:
        yield client


@asynccontextmanager
async def at_work(**changes: Any) -> AsyncIterator[tuple[Port, Any]]:
    async with serving() as port:
        port.core.conversation.answer = {"status": "ok", "payloads": ["hello"], "meta": USAGE}
        port.core.conversation.answer |= changes
        port.core.conversation.go.set()
        async with calling(port) as client:
            yield port, client


async def test_a_completion_is_the_agents_answer_with_its_usage() -> None:
    async with at_work() as (port, client):
        answer = await client.chat.completions.create(model="engine/main", messages=HELLO)
        assert answer.choices[0].message.content == "hello"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.total_tokens == 18
        assert answer.model == "engine/main"
        (order,) = port.core.said.of("converse")
        assert (order.agent_id, order.text, order.earlier) == ("main", "hi", ())
        assert answer._request_id == order.run_id


async def test_a_streamed_completion_ends_with_stop_and_the_usage_that_was_asked_for() -> None:
    async with at_work() as (_, client):
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="openclaw",
                messages=HELLO,
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
        assert chunks[0].choices[0].delta.role == "assistant"
        words = [c.choices[0].delta.content for c in chunks[1:-1] if c.choices[0].delta.content]
        assert words == ["hello"]
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage.completion_tokens == 7


async def test_what_was_said_before_goes_along_and_no_session_remembers_it() -> None:
    async with at_work() as (port, client):
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "I am Ann."}]},
            {"role": "assistant", "content": "Hello Ann."},
            {"role": "user", "content": "Who am I?"},
        ]
        await client.chat.completions.create(model="engine", messages=messages)
        (order,) = port.core.said.of("converse")
        assert order.extra_system_prompt == "Be brief."
        assert [line.text for line in order.earlier] == ["I am Ann.", "Hello Ann."]
        assert order.text == "Who am I?"


async def test_a_user_has_a_session_that_remembers() -> None:
    async with at_work() as (port, client):
        await client.chat.completions.create(model="engine", messages=HELLO, user="ann")
        await client.chat.completions.create(model="engine", messages=HELLO, user="ann b/ñ")
        first, second = port.core.said.of("converse")
        assert first.earlier is second.earlier is None
        assert first.session_key.endswith("openai-user:ann")
        assert "/" not in second.session_key


async def test_a_response_goes_on_from_the_one_before() -> None:
    async with at_work() as (port, client):
        first = await client.responses.create(model="engine", input="I am Ann.")
        assert first.output_text == "hello"
        assert first.usage.total_tokens == 18
        again = await client.responses.create(
            model="engine", input="Who am I?", previous_response_id=first.id
        )
        assert again.previous_response_id == first.id
        one, two = port.core.said.of("converse")
        assert one.session_key == two.session_key
        assert one.earlier is None


async def test_a_response_that_is_not_to_be_stored_is_not() -> None:
    async with at_work() as (port, client):
        items = [{"role": "user", "content": "hi"}]
        await client.responses.create(
            model="engine", input=items, store=False, instructions="Short."
        )
        (order,) = port.core.said.of("converse")
        assert order.earlier == ()
        assert order.extra_system_prompt == "Short."


async def test_a_streamed_response_tells_its_events_in_order() -> None:
    async with at_work() as (_, client):
        events = [
            event
            async for event in await client.responses.create(
                model="engine", input="hi", stream=True
            )
        ]
        assert [event.type for event in events] == [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
        assert [event.sequence_number for event in events] == list(range(9))
        assert events[-1].response.output_text == "hello"


async def test_models_are_the_agents_under_both_names() -> None:
    async with at_work() as (_, client):
        names = [model.id async for model in client.models.list()]
        assert names == [
            "openclaw",
            "openclaw/default",
            "openclaw/main",
            "engine",
            "engine/default",
            "engine/main",
        ]
        assert (await client.models.retrieve("engine:main")).owned_by == "engine"
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("engine/nobody")
        with pytest.raises(openai.BadRequestError):
            await client.models.retrieve("gpt-5")


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no user message": ({"messages": [{"role": "system", "content": "x"}]}, "400", "Missing user"),
    "a model that is no agent": ({"model": "gpt-5"}, "400", "is no agent"),
    "a picture": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "400",
        "only text",
    ),
    "tools of the caller": (
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        "400",
        "are not run here",
    ),
    "several answers": ({"n": 2}, "400", "n must be 1"),
    "a stranger's role": ({"messages": [{"role": "king", "content": "x"}]}, "400", "role is"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_done_is_refused_by_name_before_a_turn(case: str) -> None:
    changes, status, words = REFUSED[case]
    async with at_work() as (port, client):
        wish = {"model": "engine", "messages": HELLO, **changes}
        with pytest.raises(openai.APIStatusError, match=words) as refused:
            await client.chat.completions.create(**wish)
        assert str(refused.value.status_code) == status
        assert port.core.said.of("converse") == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ({"status": "error", "error": {"class": "rate_limit", "message": "slow down"}}, 429),
        ({"status": "error", "error": {"class": "auth", "message": "bad key"}}, 502),
        ({"status": "timeout", "stopReason": "timeout"}, 504),
        ({"status": "timeout", "stopReason": "aborted"}, 503),
    ],
)
async def test_a_turn_that_failed_is_an_error_and_not_asked_again(
    answer: dict[str, Any], status: int
) -> None:
    async with at_work(**answer) as (port, _), calling(port) as client:
        patient = client.with_options(max_retries=2)
        with pytest.raises(openai.APIStatusError) as failed:
            await patient.chat.completions.create(model="engine", messages=HELLO)
        assert failed.value.status_code == status
        assert len(port.core.said.of("converse")) == 1


async def test_a_stream_whose_turn_fails_says_so() -> None:
    answer = {"status": "error", "error": {"class": "auth", "message": "bad key"}}
    async with at_work(**answer) as (_, client):
        stream = await client.chat.completions.create(model="engine", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError, match="bad key"):
            [chunk async for chunk in stream]
        stream = await client.responses.create(model="engine", input="hi", stream=True)
        events = [event async for event in stream]
        assert events[-1].type == "response.failed"
        assert events[-1].response.error.message == "bad key"


async def test_a_wrong_key_is_401() -> None:
    async with serving() as port, calling(port, key="wrong") as client:
        with pytest.raises(openai.AuthenticationError, match="Unauthorized"):
            await client.chat.completions.create(model="engine", messages=HELLO)
        assert port.core.said.of("converse") == []


async def test_one_key_is_one_turn_also_while_it_runs() -> None:
    async with at_work() as (port, client):
        same = {"Idempotency-Key": "k-1"}
        for _ in range(2):
            await client.chat.completions.create(model="engine", messages=HELLO, extra_headers=same)
        assert len(port.core.said.of("converse")) == 1
