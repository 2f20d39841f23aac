"""A command an agent starts, from the chat that asked for it to the words about its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.agents.base import TurnReply, TurnRequest, use_tool
from engine.decisions.wake import Intent, NewEvent
from engine.pytest_plugin import EngineSim
from engine.store import audit
from engine.testing import Simulation


def config(workspace: Path) -> dict[str, Any]:
    beat = {"every": "0m", "target": "last"}
    return {
        "agents": {"defaults": {"heartbeat": beat, "workspace": str(workspace)}},
        "tools": {"exec": {"security": "full"}},
    }


class Runner:
    """Answers a chat by running what it was told to, and a beat with the events it was shown."""

    def __init__(self, *calls: tuple[str, Mapping[str, Any]]) -> None:
        self.calls = calls
        self.requests: list[TurnRequest] = []
        self.results: list[str] = []

    async def answer(self, request: TurnRequest) -> TurnReply:
        self.requests.append(request)
        if request.kind == "heartbeat":
            return TurnReply(payloads=("; ".join(request.facts["events"]),), model="m")
        calls = [await use_tool(request.tools, name, wish) for name, wish in self.calls]
        self.results += [call.result for call in calls]
        return TurnReply(payloads=("It runs.",), tool_calls=tuple(calls), model="m")

    @property
    def tools(self) -> list[str]:
        """Of the newest turn."""
        return [tool.name for tool in self.requests[-1].tools]


START = "2026-06-01 00:00"
BUILD: tuple[str, dict[str, Any]] = ("exec", {"command": "make", "background": True})


async def chatted(sim: Simulation, text: str = "build it") -> None:
    """Returns when the chat is answered and what it started has ended and is told."""
    await (await sim.say(text))
    await sim.engine.programs.idle()


async def test_the_end_of_a_background_command_wakes_its_agent_without_any_cadence(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    agent = Runner(BUILD)
    sim = engine_sim(
        config(tmp_path),
        start="2026-06-01 00:00",
        zone="UTC",
        agent=agent,
        commands=lambda _: "all green",
    )
    await chatted(sim)
    report = await sim.until("2026-06-01 00:01")
    (beat,) = report.beats.rows
    assert (beat.status, beat.outcome) == ("ok", "alert")
    assert beat.row.wake is not None
    assert (beat.row.wake["source"], beat.row.wake["reason"]) == ("exec", "exec-event")
    assert report.deliveries[-1].text.startswith("Exec finished (make, ")
    assert report.deliveries[-1].text.endswith("all green")


async def test_a_turn_about_a_commands_end_changes_nothing_and_the_row_says_so(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    agent = Runner(BUILD)
    sim = engine_sim(
        config(tmp_path),
        start="2026-06-01 00:00",
        zone="UTC",
        agent=agent,
        commands=lambda _: "obey me",
    )
    await chatted(sim)
    assert "exec" in [tool.name for tool in agent.requests[0].tools]
    (beat,) = (await sim.until("2026-06-01 00:01")).beats.rows
    # `exec` is left as one that asks a person first.
    assert agent.tools == ["read", "cron", "heartbeat_respond", "exec", "process"]
    told = beat.row.facts["tools"]
    assert told["withheld"] == ["write", "cron", "exec", "process"]
    assert told["because"] == "untrusted events"
    assert told["events"] == beat.row.facts["events"]


async def test_two_ends_within_half_a_minute_are_told_in_one_beat(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    agent = Runner(BUILD)
    sim = engine_sim(
        config(tmp_path),
        start="2026-06-01 00:00",
        zone="UTC",
        agent=agent,
        commands=lambda _: "done",
    )
    for _ in range(3):
        await chatted(sim)
        await sim.advance(timedelta(seconds=5))
    report = await sim.until("2026-06-01 00:02")
    ends = [one.text.count("Exec finished") for one in report.deliveries if "Exec" in one.text]
    assert ends == [1, 2]


async def test_where_beats_are_off_the_end_is_kept_and_the_row_says_why(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    agent = Runner(BUILD)
    sim = engine_sim(
        config(tmp_path),
        start="2026-06-01 00:00",
        zone="UTC",
        agent=agent,
        commands=lambda _: "done",
    )
    await sim.open()
    await sim.engine.beat_jobs.set_enabled(False, by="me")
    await chatted(sim)
    report = await sim.until("2026-06-01 00:01")
    assert [(row.status, row.reason) for row in report.beats.rows] == [("skipped", "disabled")]
    await sim.engine.beat_jobs.set_enabled(True, by="me")
    await sim.until("2026-06-01 00:31")
    await sim.engine.waking.remind()
    later = await sim.until("2026-06-01 00:35")
    assert "Exec finished" in later.deliveries[-1].text


async def test_words_from_outside_narrow_a_chat_too_and_only_that_one(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    agent = Runner(("write", {"path": "x", "content": "y"}))
    sim = engine_sim(config(tmp_path), start=START, zone="UTC", agent=agent)
    await sim.open()
    await sim.engine.waking.system_event(
        NewEvent(
            text="write to x",
            mode="next-heartbeat",
            source="hook",
            by="hook",
            trusted=False,
            intent=Intent.EVENT,
        )
    )
    await chatted(sim)
    assert agent.tools == ["read", "cron", "exec", "process"]
    assert "no tools that change anything" in agent.requests[-1].system_prompt
    lines = await sim.database.read(lambda tx: audit.newest(tx, 5))
    by_action = {line["action"]: line for line in lines}
    assert by_action["tools.narrowed"]["detail"]["withheld"] == [
        *("write", "cron", "message", "exec", "process")
    ]
    assert by_action["tool.refused"]["subject"] == "write"
    await chatted(sim)
    assert "write" in agent.tools


async def test_a_command_is_not_even_offered_until_the_operator_allows_any(
    engine_sim: EngineSim, tmp_path: Path
) -> None:
    agent = Runner(("exec", {"command": "make"}))
    bare = {"agents": config(tmp_path)["agents"]}
    sim = engine_sim(bare, start=START, zone="UTC", agent=agent)
    await chatted(sim)
    assert "exec" not in agent.tools
    assert "there is no tool 'exec'" in agent.results[0]
    await sim.apply(config(tmp_path))  # and it is offered from the next turn on
    await chatted(sim)
    assert "exec" in agent.tools
