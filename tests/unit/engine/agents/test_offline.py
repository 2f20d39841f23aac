from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.agents.base import AgentFailure, FailureClass, Tool, ToolRefused, TurnRequest
from engine.agents.offline import OfflineAgent, read_script
from jobs.errors import InvalidInput

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def turn(kind: str = "chat", prompt: str = "hello", **changes: Any) -> TurnRequest:
    return TurnRequest(
        run_id="r", agent_id="a", session_key="s", kind=kind, prompt=prompt, now=NOON, **changes
    )


class Naps:
    def __init__(self) -> None:
        self.taken: list[timedelta] = []

    async def __call__(self, pause: timedelta) -> None:
        self.taken.append(pause)


async def said(request: TurnRequest, *script: Mapping[str, Any]) -> str:
    return (await OfflineAgent(read_script(list(script)), sleep=Naps()).answer(request)).text


@pytest.mark.parametrize(
    ("facts", "answer"),
    [
        ({}, "HEARTBEAT_OK"),
        ({"checklist": "- look at the mail\n- [ ] water the plants"}, "HEARTBEAT_OK"),
        ({"checklist": "# List\n- [ ] alert: disk is full"}, "disk is full"),
        ({"checklist": "Alert: one\n* alert: two"}, "one\ntwo"),
        ({"checklist": "- [x] alert: done long ago"}, "HEARTBEAT_OK"),
        ({"events": ["stand-up at ten"]}, "Reminder: stand-up at ten"),
        ({"events": [{"text": " a "}, "b"], "checklist": "alert: c"}, "Reminder: a\nReminder: b"),
        ({"events": [" "], "checklist": "nothing"}, "HEARTBEAT_OK"),
    ],
)
async def test_a_beat_says_events_then_alerts_then_ok(facts: dict[str, Any], answer: str) -> None:
    assert await said(turn("heartbeat", facts=facts)) == answer


async def test_a_job_and_a_chat_are_answered_in_one_line() -> None:
    assert await said(turn("cron", "\nweigh the cat\nthen feed it")) == "Done: weigh the cat"
    assert await said(turn("chat", "good morning")) == "You said: good morning"


async def test_the_first_entry_that_matches_answers() -> None:
    script = (
        {"when": {"kind": "cron"}, "say": "job"},
        {"when": {"kind": "chat", "prompt": "^h.llo$"}, "say": "regex"},
        {"when": {"contains": "WEATHER"}, "say": "rain"},
    )
    assert await said(turn("chat", "hallo"), *script) == "regex"
    assert await said(turn("chat", "the weather?"), *script) == "rain"
    assert await said(turn("cron", "hallo"), *script) == "job"
    assert await said(turn("chat", "none of them"), *script) == "You said: none of them"


async def test_an_entry_for_once_is_used_up() -> None:
    agent = OfflineAgent(read_script([{"say": "first", "once": True}]), sleep=Naps())
    answers = [(await agent.answer(turn())).text for _ in range(2)]
    assert answers == ["first", "You said: hello"]


async def test_several_texts_are_several_messages() -> None:
    agent = OfflineAgent(read_script([{"say": ["one moment", "done"]}]), sleep=Naps())
    reply = await agent.answer(turn())
    assert reply.payloads == ("one moment", "done")
    assert reply.text == "done"


async def test_an_entry_takes_its_time_on_the_clock_it_was_given() -> None:
    naps = Naps()
    await OfflineAgent(read_script([{"say": "x", "takesMs": 1500}]), sleep=naps).answer(turn())
    assert naps.taken == [timedelta(seconds=1.5)]


async def test_a_scripted_failure_keeps_its_class_and_wait() -> None:
    script = read_script([{"fail": {"class": "overloaded", "retryAfterSeconds": 5}}])
    with pytest.raises(AgentFailure) as caught:
        await OfflineAgent(script, sleep=Naps()).answer(turn())
    assert caught.value.failure is FailureClass.OVERLOADED
    assert caught.value.retry_after_seconds == 5


async def test_tools_are_called_and_what_came_of_it_is_kept() -> None:
    async def echo(arguments: Mapping[str, Any]) -> str:
        if not arguments:
            raise ToolRefused("say something")
        return str(arguments["x"])

    tool = Tool(name="echo", description="", parameters={}, call=echo)
    script = [
        {
            "tools": [
                {"name": "echo", "arguments": {"x": "hi"}},
                {"name": "echo"},
                {"name": "nope"},
            ],
            "say": "done",
        }
    ]
    reply = await OfflineAgent(read_script(script), sleep=Naps()).answer(turn(tools=[tool]))
    assert [(call.result, call.failed) for call in reply.tool_calls] == [
        ("hi", False),
        ("say something", True),
        ("there is no tool 'nope'; tools: echo", True),
    ]


async def test_an_answer_costs_nothing() -> None:
    reply = await OfflineAgent(sleep=Naps()).answer(turn())
    assert reply.usage is not None
    assert reply.usage.cost_usd == 0
    assert reply.usage.total_tokens > 0


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"say": "x"}, "script"),
        (["x"], "script[0]"),
        ([{"sya": "x"}], "script[0]"),
        ([{"when": {"kind": "party"}}], "script[0].when.kind"),
        ([{"when": {"prompt": "("}}], "script[0].when.prompt"),
        ([{"when": {"contains": 3}}], "script[0].when.contains"),
        ([{"say": 3}], "script[0].say"),
        ([{"say": "x"}, {"takesMs": -1}], "script[1].takesMs"),
        ([{"fail": {"class": "tired"}}], "script[0].fail.class"),
        ([{"tools": {}}], "script[0].tools"),
        ([{"tools": [{"arguments": {}}]}], "script[0].tools[0]"),
    ],
)
def test_a_script_that_cannot_be_used_is_refused_with_the_place(data: object, place: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"at {place}:")):
        read_script(data)
