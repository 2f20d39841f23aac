from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import (
    AgentFailure,
    FailureClass,
    Message,
    Tool,
    ToolRefused,
    TurnReply,
    TurnRequest,
)
from engine.agents.model import ModelAgent
from engine.agents.model_turn import CIRCLES, RETRY_AFTER, ROUNDS_MOST, Library
from engine.agents.provider import Candidate, Price, Provider
from engine.agents.tools.heartbeat import heartbeat_tool
from jobs.ledger import Usage
from tests.fakes.openai_server import (
    KEY,
    OpenAIServer,
    Plan,
    broken,
    out_of_credit,
    rate_limited,
    unknown_model,
)

# Whoever asks first in a process imports the model library: seconds, and more on a busy machine.
pytestmark = pytest.mark.timeout(90)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def turn(prompt: str = "hello", **changes: Any) -> TurnRequest:
    return TurnRequest(
        run_id="r", agent_id="a", session_key="s", kind="chat", prompt=prompt, now=NOON, **changes
    )


class Naps:
    def __init__(self) -> None:
        self.taken: list[timedelta] = []

    async def __call__(self, pause: timedelta) -> None:
        self.taken.append(pause)


@asynccontextmanager
async def agent_on(
    *servers: OpenAIServer, naps: Naps | None = None, sdk_retries: int = 0, **provider: Any
) -> AsyncIterator[ModelAgent]:
    """One agent; its candidates are m0, m1 … on the given servers."""
    candidates = [
        Candidate(
            model=f"m{number}",
            provider=Provider(
                **{
                    "id": f"p{number}",
                    "base_url": server.base_url,
                    "api_key": KEY,
                    **provider,
                }
            ),
        )
        for number, server in enumerate(servers)
    ]
    agent = ModelAgent(candidates, sleep=naps or Naps(), sdk_retries=sdk_retries)
    try:
        yield agent
    finally:
        await agent.close()


async def answer(request: TurnRequest, *plans: Plan, **options: Any) -> TurnReply:
    async with OpenAIServer(*plans) as server, agent_on(server, **options) as agent:
        return await agent.answer(request)


async def failure_of(*plans: Plan, **options: Any) -> AgentFailure:
    with pytest.raises(AgentFailure) as caught:
        await answer(turn(), *plans, **options)
    return caught.value


async def test_a_request_carries_the_conversation_and_is_not_streamed() -> None:
    history = (Message(role="user", text="I am Ada"), Message(role="assistant", text="Hello"))
    async with OpenAIServer() as server, agent_on(server) as agent:
        await agent.answer(turn("who am I?", system_prompt="be brief", history=history))
    (request,) = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["body"]["stream"] is False
    assert [(m["role"], m["content"]) for m in request["body"]["messages"]] == [
        ("system", "be brief"),
        ("user", "I am Ada"),
        ("assistant", "Hello"),
        ("user", "who am I?"),
    ]


async def test_usage_is_counted_and_an_unknown_model_has_no_price() -> None:
    reply = await answer(turn(), Plan(prompt_tokens=100, completion_tokens=10))
    assert reply.usage == Usage(input_tokens=100, output_tokens=10, cost_usd=None)
    assert (reply.provider, reply.model) == ("p0", "m0")


async def test_the_operators_price_is_the_price() -> None:
    prices = {"m0": Price(input=2.0, output=10.0)}
    plan = Plan(prompt_tokens=1_000_000, completion_tokens=100_000)
    reply = await answer(turn(), plan, prices=prices)
    assert reply.usage is not None
    assert reply.usage.cost_usd == pytest.approx(3.0)


def test_cached_tokens_have_their_own_price() -> None:
    price = Price(input=10.0, output=0.0, cache_read=1.0)
    usage = Usage(input_tokens=1_000_000, cache_read_tokens=900_000)
    assert price.of(usage) == pytest.approx(1.9)


async def test_reasoning_is_kept_apart_from_the_words() -> None:
    reply = await answer(turn(), Plan(text="It rains.", reasoning="The user asks about rain."))
    assert reply.payloads == ("It rains.",)
    assert reply.reasoning == "The user asks about rain."


async def test_a_cut_answer_is_never_passed_off_as_complete() -> None:
    failure = await failure_of(Plan(text="The disk is", finish_reason="length"))
    assert failure.failure is FailureClass.INVALID
    assert "maxTokens" in failure.message


async def test_a_filtered_answer_is_a_failure() -> None:
    failure = await failure_of(Plan(text="", finish_reason="content_filter"))
    assert "content filter" in failure.message


COMPLETE: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "fine"},
            "finish_reason": "stop",
        }
    ],
}


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "fine"}}]},
        *(
            {key: COMPLETE[key] for key in COMPLETE if key != out}
            for out in COMPLETE
            if out != "choices"
        ),
        COMPLETE | {"id": None, "created": 1.5, "object": "text_completion"},
        COMPLETE | {"usage": {"total_tokens": 3}},
        COMPLETE | {"choices": [COMPLETE["choices"][0] | {"index": None, "logprobs": []}]},
        COMPLETE | {"choices": [COMPLETE["choices"][0] | {"finish_reason": "eos"}]},
    ],
)
async def test_a_server_that_is_only_similar_is_understood(body: Mapping[str, Any]) -> None:
    """Servers leave out parts of the envelope that nobody needs to read the words in it."""
    assert (await answer(turn(), Plan(body=body))).payloads == ("fine",)


async def test_a_similar_server_may_ask_for_tools_in_its_own_way() -> None:
    call = {"function": {"name": "echo", "arguments": {"x": "hi"}}}
    asks = {"choices": [{"message": {"content": None, "tool_calls": [call]}}]}
    tool = Echo()
    await answer(turn(tools=[tool.tool()]), Plan(body=asks), Plan(text="done"))
    assert tool.heard == [{"x": "hi"}]


@pytest.mark.parametrize("choices", [{"choices": []}, {"choices": None}, {}])
async def test_an_answer_without_an_answer_is_a_failure_that_says_so(
    choices: Mapping[str, Any],
) -> None:
    failure = await failure_of(Plan(body={**choices, "error": {"message": "no such model: m0"}}))
    assert failure.failure is FailureClass.INVALID
    assert "no such model: m0" in failure.message


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [None]},
        {"choices": ["hello"]},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "hello"}]},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"tool_calls": [{"function": None}]}}]},
        {"choices": {"message": {"content": "hello"}}},
    ],
)
async def test_what_is_no_completion_is_the_servers_fault_and_not_ours(body: object) -> None:
    failure = await failure_of(Plan(body=body))
    assert failure.failure is FailureClass.INVALID
    assert failure.message.startswith("p0/m0: the answer is no chat completion")
    assert "pydantic" not in failure.message


async def test_an_answer_that_cannot_be_read_makes_room_for_the_fallback() -> None:
    async with (
        OpenAIServer(Plan(body={"choices": []})) as first,
        OpenAIServer() as second,
        agent_on(first, second) as agent,
    ):
        assert (await agent.answer(turn())).model == "m1"


@pytest.mark.parametrize(
    ("plan", "failure"),
    [
        (rate_limited(), FailureClass.RATE_LIMIT),
        (out_of_credit(), FailureClass.BILLING),
        (broken(), FailureClass.SERVER_ERROR),
        (unknown_model(), FailureClass.MODEL_NOT_FOUND),
        (Plan(status=503, error={"message": "unavailable"}), FailureClass.SERVER_ERROR),
        (Plan(status=529, error={"message": "overloaded"}), FailureClass.OVERLOADED),
        (Plan(status=402, error={"message": "pay"}), FailureClass.BILLING),
        (Plan(status=403, error={"message": "no"}), FailureClass.AUTH),
        (Plan(status=400, error={"message": "bad request"}), FailureClass.INVALID),
        (Plan(drop=True), FailureClass.NETWORK),
    ],
)
async def test_a_fault_has_its_class(plan: Plan, failure: FailureClass) -> None:
    assert (await failure_of(plan)).failure is failure


async def test_a_wrong_key_is_named_and_not_repeated() -> None:
    failure = await failure_of(api_key="sk-wrong-key-987654")
    assert failure.failure is FailureClass.AUTH
    assert "987654" not in failure.message
    assert failure.message.startswith("p0/m0: the server answered 401: Incorrect API key")
    assert failure.message.endswith("Fix: engine config set models.providers.p0.apiKey NEW_KEY")


async def test_nobody_listening_is_a_network_fault() -> None:
    async with OpenAIServer() as server:
        address = server.base_url
    provider = Provider(id="p", base_url=address, api_key=KEY)
    agent = ModelAgent([Candidate(provider=provider, model="m")], sleep=Naps(), sdk_retries=0)
    with pytest.raises(AgentFailure) as caught:
        await agent.answer(turn())
    await agent.close()
    assert caught.value.failure is FailureClass.NETWORK
    where = address.removeprefix("http://").removesuffix("/v1")
    assert caught.value.message == (
        f"p/m: no connection to {where}: All connection attempts failed. "
        "Fix: elsewhere: start the server, or set models.providers.p.baseUrl"
    )


async def test_a_passing_fault_is_tried_once_more_after_a_pause() -> None:
    naps = Naps()
    reply = await answer(turn(), broken(), Plan(text="now"), naps=naps)
    assert reply.text == "now"
    assert naps.taken == [RETRY_AFTER]
    assert [attempt["class"] for attempt in reply.attempts] == ["server_error"]


async def test_the_pause_is_as_long_as_the_provider_asks() -> None:
    naps = Naps()
    await answer(turn(), rate_limited(7), Plan(), naps=naps)
    assert naps.taken == [timedelta(seconds=7)]


async def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    failure = await failure_of(rate_limited(600))
    assert failure.message == "p0/m0: the server answered 429: Rate limit reached"


async def test_a_long_wait_is_left_to_the_schedule() -> None:
    naps = Naps()
    failure = await failure_of(rate_limited(600), naps=naps)
    assert naps.taken == []
    assert failure.retry_after_seconds == 600


async def test_a_lasting_fault_is_not_tried_again() -> None:
    async with OpenAIServer(unknown_model()) as server, agent_on(server) as agent:
        with pytest.raises(AgentFailure):
            await agent.answer(turn())
    assert len(server.requests) == 1


async def test_a_fallback_answers_at_once_where_the_first_failed() -> None:
    naps = Naps()
    async with (
        OpenAIServer(rate_limited(5)) as first,
        OpenAIServer(Plan(text="second")) as second,
        agent_on(first, second, naps=naps, sdk_retries=2) as agent,
    ):
        reply = await agent.answer(turn())
    assert (reply.text, reply.provider, reply.model) == ("second", "p1", "m1")
    assert naps.taken == []
    assert len(first.requests) == 1
    (attempt,) = reply.attempts
    assert (attempt["model"], attempt["class"]) == ("p0/m0", "rate_limit")


async def test_a_failure_lists_everybody_who_was_asked() -> None:
    async with (
        OpenAIServer(unknown_model()) as first,
        OpenAIServer(out_of_credit()) as second,
        agent_on(first, second) as agent,
    ):
        with pytest.raises(AgentFailure) as caught:
            await agent.answer(turn())
    assert caught.value.failure is FailureClass.BILLING
    assert [one["model"] for one in caught.value.attempts] == ["p0/m0", "p1/m1"]


class Echo:
    """A tool that says back what it was told and refuses nothing-at-all."""

    def __init__(self) -> None:
        self.heard: list[Mapping[str, Any]] = []

    def tool(self) -> Tool:
        return Tool(
            name="echo",
            description="Says it back.",
            parameters={"type": "object", "properties": {"x": {"type": "string"}}},
            call=self._call,
            side_effects=True,
        )

    async def _call(self, arguments: Mapping[str, Any]) -> str:
        self.heard.append(arguments)
        if not arguments:
            raise ToolRefused("say something")
        return f"heard {arguments['x']}"


async def conversation(*plans: Plan, tools: Sequence[Tool]) -> tuple[TurnReply, OpenAIServer]:
    async with OpenAIServer(*plans) as server, agent_on(server) as agent:
        return await agent.answer(turn(tools=tools)), server


async def test_a_tool_is_described_as_it_describes_itself() -> None:
    """An open object stays open: `cron add` takes a whole job in one."""
    parameters = {
        "type": "object",
        "properties": {
            "job": {"type": "object", "properties": {}, "additionalProperties": True},
            "id": {"type": "string"},
        },
        "required": ["job", "id"],
    }
    tool = replace(Echo().tool(), parameters=parameters)
    async with OpenAIServer() as server, agent_on(server) as agent:
        await agent.answer(turn(tools=[tool]))
    (sent,) = server.requests[0]["body"]["tools"]
    assert sent["function"]["parameters"] == parameters
    assert not sent["function"].get("strict")


async def test_a_tool_is_called_and_its_result_goes_back() -> None:
    echo = Echo()
    asks = Plan(text="One moment.", tool_calls=[("echo", {"x": "hi"})])
    reply, server = await conversation(asks, Plan(text="done"), tools=[echo.tool()])
    assert echo.heard == [{"x": "hi"}]
    assert reply.payloads == ("One moment.", "done")
    (call,) = reply.tool_calls
    assert (call.name, call.result, call.failed) == ("echo", "heard hi", False)
    assert server.requests[0]["body"]["tools"][0]["function"]["name"] == "echo"
    last = server.requests[1]["body"]["messages"][-1]
    assert (last["role"], last["content"]) == ("tool", "heard hi")


async def test_usage_of_all_requests_of_a_turn_adds_up() -> None:
    asks = Plan(tool_calls=[("echo", {"x": "hi"})], prompt_tokens=10, completion_tokens=1)
    ends = Plan(prompt_tokens=20, completion_tokens=2)
    reply, _ = await conversation(asks, ends, tools=[Echo().tool()])
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (30, 3)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("echo", {}, "say something"),
        ("nope", {}, "there is no tool 'nope'"),
        ("echo", "{not json", "not a JSON object"),
    ],
)
async def test_a_refusal_is_told_to_the_model_and_the_turn_goes_on(
    name: str, arguments: Mapping[str, Any] | str, told: str
) -> None:
    asks = Plan(text=None, tool_calls=[(name, arguments)])
    reply, server = await conversation(asks, Plan(text="ok"), tools=[Echo().tool()])
    assert reply.text == "ok"
    assert reply.tool_calls[0].failed
    assert told in server.requests[1]["body"]["messages"][-1]["content"]


async def test_a_retry_does_not_repeat_a_tool_that_ran() -> None:
    echo = Echo()
    asks = Plan(text=None, tool_calls=[("echo", {"x": "pay 5"})])
    reply, _ = await conversation(asks, broken(), Plan(text="paid"), tools=[echo.tool()])
    assert reply.text == "paid"
    assert len(echo.heard) == 1


async def test_the_first_valid_heartbeat_answer_ends_the_turn() -> None:
    wrong = {"outcome": "fine", "notify": False, "summary": "x"}
    right = {"outcome": "done", "notify": True, "summary": "disk cleaned"}
    reply, server = await conversation(
        Plan(text=None, tool_calls=[("heartbeat_respond", wrong)]),
        Plan(text=None, tool_calls=[("heartbeat_respond", right)]),
        tools=[heartbeat_tool()],
    )
    assert [call.failed for call in reply.tool_calls] == [True, False]
    assert reply.tool_calls[-1].arguments == right
    assert len(server.requests) == 2


async def test_a_model_that_only_calls_tools_is_stopped() -> None:
    asks = Plan(text=None, tool_calls=[("echo", {"x": "again"})])
    async with OpenAIServer(asks) as server, agent_on(server) as agent:
        with pytest.raises(AgentFailure, match="without an answer"):
            await agent.answer(turn(tools=[Echo().tool()]))
    assert len(server.requests) == ROUNDS_MOST


async def test_a_model_in_circles_has_to_answer_without_tools() -> None:
    asks = Plan(text=None, tool_calls=[("echo", {"x": "again"})])
    reply, server = await conversation(asks, asks, asks, Plan(text="well"), tools=[Echo().tool()])
    assert reply.payloads == ("well",)
    assert len(reply.tool_calls) == CIRCLES
    assert ["tools" in request["body"] for request in server.requests] == [True, True, True, False]


async def test_different_calls_are_no_circle() -> None:
    asks = [Plan(text=None, tool_calls=[("echo", {"x": word})]) for word in "abcd"]
    _, server = await conversation(*asks, Plan(text="well"), tools=[Echo().tool()])
    assert all("tools" in request["body"] for request in server.requests)


async def test_the_output_limit_is_sent() -> None:
    async with OpenAIServer() as server, agent_on(server, max_tokens={"m0": 500}) as agent:
        await agent.answer(turn())
    body = server.requests[0]["body"]
    assert body.get("max_completion_tokens", body.get("max_tokens")) == 500


async def test_headers_and_parameters_of_the_config_are_sent() -> None:
    async with (
        OpenAIServer() as server,
        agent_on(server, headers={"X-Team": "ops"}, params={"top_p": 0.5}) as agent,
    ):
        await agent.answer(turn())
    (asked,) = server.requests
    assert asked["headers"]["x-team"] == "ops"
    assert asked["body"]["top_p"] == 0.5


@pytest.mark.parametrize(
    ("level", "effort"),
    [
        ("low", "low"),
        ("high", "high"),
        ("xhigh", "high"),
        ("max", "high"),
        ("ultra", "high"),
        ("minimal", "minimal"),
        ("off", "none"),
        ("adaptive", None),
        (None, None),
    ],
)
async def test_a_model_that_thinks_is_told_how_much(level: str | None, effort: str | None) -> None:
    async with (
        OpenAIServer() as server,
        agent_on(server, thinks=frozenset({"m0"})) as agent,
    ):
        reply = await agent.answer(turn(thinking=level))
    assert server.requests[0]["body"].get("reasoning_effort") == effort
    assert reply.remark == ""


async def test_a_level_that_is_not_sent_is_remarked() -> None:
    async with OpenAIServer() as server, agent_on(server) as agent:
        reply = await agent.answer(turn(thinking="high"))
        assert (await agent.answer(turn())).remark == ""
    assert "reasoning_effort" not in server.requests[0]["body"]
    assert reply.remark == (
        "thinking high was not sent: p0/m0 is not known to think. If it does, set reasoning of it"
        " in models.providers.p0.models"
    )


def response(**facts: Any) -> Plan:
    """An answer of `openai-responses`."""
    said = {"type": "output_text", "text": "hello", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    body = {
        "id": "r", "object": "response", "created_at": 1, "model": "m0", "status": "completed",
        "output": [{**message, "content": [said]}], "tools": [], "tool_choice": "auto",
        "parallel_tool_calls": True,
    }  # fmt: skip
    return Plan(body={**body, **facts})


async def test_a_provider_may_speak_responses() -> None:
    async with (
        OpenAIServer(response()) as server,
        agent_on(server, api="openai-responses") as agent,
    ):
        assert (await agent.answer(turn())).payloads == ("hello",)
    assert server.requests[0]["path"].endswith("/responses")


async def test_a_cut_response_is_never_passed_off_as_complete() -> None:
    cut = response(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    failure = await failure_of(cut, api="openai-responses")
    assert failure.failure is FailureClass.INVALID
    assert "cut at the output limit" in failure.message


@pytest.mark.parametrize("status", ["incomplete", "in_progress"])
async def test_a_response_without_an_end_is_no_answer(status: str) -> None:
    failure = await failure_of(response(status=status), api="openai-responses")
    assert failure.failure is FailureClass.INVALID
    assert "not complete" in failure.message


async def test_an_api_nobody_speaks_is_refused_in_words() -> None:
    failure = await failure_of(api="ollama")
    assert failure.failure is FailureClass.INVALID
    assert failure.message.startswith("p0/m0: api 'ollama' is not spoken here. Fix: set api of")


async def test_a_missing_extra_names_the_command_that_mends_it() -> None:
    def load() -> Library:
        raise ImportError("No module named 'pydantic_ai'", name="pydantic_ai")

    candidate = Candidate(provider=Provider(id="p"), model="m")
    agent = ModelAgent([candidate], sleep=Naps(), load=load)
    with pytest.raises(AgentFailure, match=r"pip install 'heartbeat-engine\[model\]'"):
        await agent.answer(turn())


def test_a_provider_does_not_print_its_key() -> None:
    assert KEY not in repr(Provider(id="p", api_key=KEY))
