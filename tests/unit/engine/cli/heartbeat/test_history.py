"""`engine heartbeat history --summary` and `slo`: a day in words and signs, no gateway."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.cli.heartbeat.strip import Signs, legend, lines, signs
from engine.testing import ScriptedAgent, Simulation
from jobs.store.db import Database
from jobs.wallclock import ms
from jobs.written import parse_at
from tests.unit.engine.cli.conftest import Engine

pytestmark = pytest.mark.usefixtures("nobody")

BERLIN = ZoneInfo("Europe/Berlin")
CONFIG: dict[str, Any] = {
    "agents": {
        "defaults": {
            "userTimezone": "Europe/Berlin",
            "heartbeat": {
                "every": "30m",
                "target": "none",
                "activeHours": {"start": "08:00", "end": "20:00"},
            },
        }
    }
}
DAY = ("--since", "2026-06-01T00:00", "--until", "2026-06-01T23:59")


@pytest.fixture
def lived_in(home: Path) -> None:
    """A home with a day of beats: the first says something, half of the day is quiet."""
    state = home / ".engine"
    (state / "engine.json").write_text(json.dumps(CONFIG))
    asyncio.run(_lived(state))


async def _lived(state: Path) -> None:
    database = await Database.open(state / "state.db")
    agent = ScriptedAgent("The disk is full.", then="HEARTBEAT_OK")
    async with Simulation(
        state / "engine.json",
        start="2026-06-01 00:00",
        zone="Europe/Berlin",
        agent=agent,
        database=database,
        checklist="- look\n",
    ) as sim:
        await sim.until("2026-06-02 00:00")
    await database.close()


@pytest.mark.usefixtures("lived_in")
def test_a_day_is_summed_and_drawn_with_the_gateway_down(engine: Engine) -> None:
    told = engine("heartbeat", "history", "--summary", "--ascii", *DAY)
    assert told.status == 0
    assert "answered from the store" in told.err
    assert "main: 48 slots: 24 quiet-hours, 23 ok-token, 1 target-none." in told.out
    assert "Expected 48 slots, recorded 48." in told.out
    strip = next(line for line in told.out.splitlines() if line.startswith("  Mon 06-01"))
    assert strip.removeprefix("  Mon 06-01").lstrip() == "-" * 16 + "u" + "o" * 23 + "-" * 8
    assert "u said, not sent, o ran, nothing to say, - quiet hours" in told.out


@pytest.mark.usefixtures("lived_in")
def test_how_well_it_went_is_one_command_and_its_exit_status(engine: Engine) -> None:
    told = engine("heartbeat", "slo", *DAY, "--json")
    assert told.status == 0
    found = json.loads(told.out)
    assert found["beats"] == {"expected": 48, "done": 48, "rate": 1.0}
    assert found["agents"][0]["agentId"] == "main"
    since = engine("heartbeat", "slo", "--since", "2026-06-01T00:00", "--until", "2026-06-02T12:00")
    assert (since.status, "Below the goal of 95%" in since.out) == (1, True)


@pytest.mark.usefixtures("lived_in")
def test_what_comes_is_told_with_the_gateway_down_the_same_gates_as_one(engine: Engine) -> None:
    told = engine("heartbeat", "next", "-n", "60")
    assert told.status == 0
    assert "main: every 30m, active 08:00-20:00 Europe/Berlin (times in Europe/Berlin)" in told.out
    quiet = [line for line in told.out.splitlines() if "quiet-hours" in line]
    assert 1 <= len(quiet) <= 3
    assert all("(" in line for line in quiet[1:2])
    found = json.loads(engine("heartbeat", "next", "-n", "60", "--json").out)
    assert len(found["agents"][0]["slots"]) == 60


@pytest.mark.usefixtures("lived_in")
@pytest.mark.parametrize(
    ("words", "because"),
    [
        (("--status", "sent"), "a summary counts every status"),
        (("--since", "1h", "--until", "2h"), "--since lies after --until"),
        (("--since", "soon"), "a duration back from now, or an instant"),
        (("--reason", "quiet"), 'did you mean "quiet-hours"?'),
    ],
)
def test_what_cannot_be_summed_is_refused_with_the_reason(
    engine: Engine, words: tuple[str, ...], because: str
) -> None:
    told = engine("heartbeat", "history", "--summary", *words)
    assert told.status != 0
    assert because in told.err


# -- drawn -------------------------------------------------------------------------------------


def at(text: str) -> int:
    return ms(parse_at(text, now=datetime(2026, 1, 1, tzinfo=UTC), tz="Europe/Berlin"))


def agent(*marks: tuple[str, str], **given: Any) -> dict[str, Any]:
    cells = [{"atMs": at(text), "kinds": {kind: 1}} for text, kind in marks]
    return {"agentId": "main", "cells": cells, "holes": [], **given}


def drawn(one: dict[str, Any], *, room: int = 110) -> list[str]:
    told = {"sinceMs": at("2026-03-01T00:00"), "untilMs": at("2026-12-01T00:00")}
    return [*lines(told, one, BERLIN, signs(plain=True), room)]


def test_each_local_day_has_its_line() -> None:
    found = drawn(agent(("2026-06-01T23:45", "sent"), ("2026-06-02T00:00", "ran")))
    assert found[1:] == ["  Mon 06-01" + " " * 95 + "S", "  Tue 06-02o"]


def test_where_there_is_little_room_a_sign_stands_for_longer() -> None:
    found = drawn(agent(("2026-06-01T23:45", "sent")), room=80)
    assert found[1] == "  Mon 06-01" + " " * 47 + "S"


def test_an_hour_the_clocks_repeat_lies_in_the_same_place_twice() -> None:
    both = agent(("2026-10-25T02:30+02:00", "ran"), ("2026-10-25T02:30+01:00", "failed"))
    assert drawn(both)[1] == "  Sun 10-25" + " " * 10 + "x"


def test_the_most_telling_hides_the_rest_and_a_missing_row_hides_all() -> None:
    kinds = ("quiet", "skipped", "ran", "open", "sent", "unsent", "missed", "failed")
    for n, kind in enumerate(kinds):
        marks = [("2026-06-01T00:00", other) for other in kinds[: n + 1]]
        assert drawn(agent(*marks))[1][-1] == signs(plain=True).kinds[kind]
    hole = {"fromMs": at("2026-06-01T00:00"), "toMs": at("2026-06-01T00:00"), "count": 1}
    assert drawn(agent(("2026-06-01T00:00", "failed"), holes=[hole]))[1][-1] == "!"


def test_active_hours_show_between_the_beats() -> None:
    window = {"fromMs": at("2026-06-01T00:30"), "untilMs": at("2026-06-01T01:30")}
    one = agent(("2026-06-01T00:45", "ran"), activeHours=[window])
    assert drawn(one)[1] == "  Mon 06-01  _o__"
    assert legend([one], 15, signs(plain=True)) == (
        "o ran, nothing to say, _ active hours. A sign is 15 minutes."
    )


def test_colour_is_laid_on_signs_only_where_it_is_wanted() -> None:
    plain = signs(plain=True)
    found = [
        *lines(
            {"sinceMs": 0, "untilMs": 0},
            agent(("2026-06-01T00:00", "failed")),
            BERLIN,
            Signs(plain.kinds, plain.active, colour=True),
            110,
        )
    ]
    assert found[1] == "  Mon 06-01\x1b[31mx\x1b[0m"
