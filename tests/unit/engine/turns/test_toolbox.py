"""Which tools a turn gets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.agents.base import Tool
from engine.decisions.tool_policy import Layer, ToolPolicy
from engine.roster.roster import AgentProfile, BeatProfile, Roster
from engine.turns.toolbox import Leave, Toolbox, narrowed

NOBODY: Any = None  # the tools are handed out here, not used
NO_MORE = Leave()
ALL = ["read", "write", "cron"]
AGENT = AgentProfile(
    agent_id="main",
    is_default=True,
    workspace=Path("/home/ada"),
    zone=ZoneInfo("UTC"),
    model=None,
    fallbacks=(),
    thinking=None,
    turn_timeout=timedelta(minutes=10),
    beat=BeatProfile(period=None),
)
ROSTER = Roster(
    agents={"main": AGENT}, default_id="main", main_key="main", default_zone=ZoneInfo("UTC")
)


def names(
    agent: AgentProfile = AGENT, *, kind: str = "cron", allow: Collection[str] | None = None
) -> list[str]:
    return [tool.name for tool in handed_out(agent, kind=kind, allow=allow)]


def handed_out(
    agent: AgentProfile = AGENT,
    *,
    kind: str = "cron",
    allow: Collection[str] | None = None,
    leave: Leave = NO_MORE,
    model: str | None = None,
) -> Sequence[Tool]:
    box = Toolbox(
        jobs=NOBODY,
        holds=NOBODY,
        outlet=NOBODY,
        programs=NOBODY,
        roster=lambda: ROSTER,
        leave=lambda: leave,
    )
    return box.for_turn(
        agent, run_id="r1", session_key="agent:main:main", kind=kind, allow=allow, model=model
    )


def ruled(**words: Any) -> AgentProfile:
    return replace(AGENT, tools=ToolPolicy(layers=(Layer(where="tools", **words),)))


@pytest.mark.parametrize("kind", ["cron", "chat"])
def test_a_turn_may_send_messages(kind: str) -> None:
    assert names(kind=kind) == [*ALL, "message"]


def test_a_beat_answers_and_does_not_send() -> None:
    assert names(kind="heartbeat") == [*ALL, "heartbeat_respond"]


def test_an_agent_gets_what_it_may_use() -> None:
    assert names(ruled(allow=("read", "cron"))) == ["read", "cron"]
    assert names(ruled(deny=("message",))) == ALL
    assert names(ruled(allow=())) == [*ALL, "message"]


def test_a_job_restricts_its_turns_further_and_never_widens_them() -> None:
    reader = ruled(allow=("read", "write"))
    assert names(reader, allow=("read", "message")) == ["read"]
    assert names(reader, allow=("group:fs",)) == ["read", "write"]
    assert names(reader, allow=()) == []


def test_commands_are_offered_where_the_operator_lets_agents_run_any() -> None:
    tools = handed_out(leave=Leave(programs=True))
    assert [tool.name for tool in tools] == [*ALL, "message", "exec", "process"]


def test_the_provider_of_the_asked_model_has_rules_of_its_own() -> None:
    small = Layer(where="tools.byProvider.local", deny=("group:fs",))
    agent = replace(AGENT, tools=ToolPolicy(providers={"local": small}))
    assert [one.name for one in handed_out(agent, model="local/tiny")] == ["cron", "message"]
    assert len(handed_out(agent, model="openai/big")) == 4


def test_where_nothing_may_be_changed_only_looking_is_left() -> None:
    kept, withheld = narrowed(handed_out(kind="heartbeat", leave=Leave(programs=True)))
    assert [tool.name for tool in kept] == ["read", "cron", "heartbeat_respond", "process"]
    assert withheld == ("write", "cron", "exec", "process")
    (cron,) = [tool for tool in kept if tool.name == "cron"]
    assert cron.parameters["properties"]["action"]["enum"] == ["list", "get", "runs", "status"]
