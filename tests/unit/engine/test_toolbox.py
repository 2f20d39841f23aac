"""Which tools a turn gets."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.roster import AgentProfile, BeatProfile, Roster
from engine.toolbox import Toolbox

NOBODY: Any = None  # the tools are handed out here, not used
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
    box = Toolbox(
        jobs=NOBODY, holds=NOBODY, outlet=NOBODY, roster=lambda: ROSTER, commands=lambda: False
    )
    tools = box.for_turn(agent, run_id="r1", session_key="agent:main:main", kind=kind, allow=allow)
    return [tool.name for tool in tools]


@pytest.mark.parametrize("kind", ["cron", "chat"])
def test_a_turn_may_send_messages(kind: str) -> None:
    assert names(kind=kind) == [*ALL, "message"]


def test_a_beat_answers_and_does_not_send() -> None:
    assert names(kind="heartbeat") == [*ALL, "heartbeat_respond"]


def test_an_agent_gets_what_it_may_use() -> None:
    assert names(replace(AGENT, tools_allow=("read", "cron"))) == ["read", "cron"]
    assert names(replace(AGENT, tools_deny=("message",))) == ALL


def test_a_job_restricts_its_turns_further_and_never_widens_them() -> None:
    reader = replace(AGENT, tools_allow=("read", "write"))
    assert names(reader, allow=("read", "message")) == ["read"]
    assert names(reader, allow=()) == []
