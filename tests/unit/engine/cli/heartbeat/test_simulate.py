"""`engine heartbeat simulate`: what another config would change, slot by slot (§25-3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.testing import Simulation
from engine.testing.difference import difference
from tests.unit.engine.cli.conftest import Engine

pytestmark = pytest.mark.usefixtures("nobody")


def config(**heartbeat: Any) -> dict[str, Any]:
    beat = {"every": "30m", "target": "none", "phase": "00:00", **heartbeat}
    return {"agents": {"defaults": {"userTimezone": "UTC", "heartbeat": beat}}}


HOURS = {"activeHours": {"start": "08:00", "end": "20:00"}}


@pytest.fixture
def other(home: Path) -> Path:
    """Another config than the home's: half as often, and shorter days."""
    (home / ".engine" / "engine.json").write_text(json.dumps(config(**HOURS)))
    file = home / "other.json"
    shorter = {"activeHours": {"start": "10:00", "end": "20:00"}}
    file.write_text(json.dumps(config(every="1h", **shorter)))
    return file


SPAN = ("--from", "2026-06-01T00:00", "--days", "1")


def test_two_configs_are_compared_slot_by_slot(engine: Engine, other: Path) -> None:
    told = engine("heartbeat", "simulate", "--config", str(other), *SPAN)
    assert told.status == 0
    assert "47 → 23" in told.out
    assert "24 → 10" in told.out
    assert "main: 24 slots fewer, the first at Mon 2026-06-01 00:30." in told.out
    assert "main: 2 of the slots in both: runs → quiet-hours." in told.out


def test_the_figures_are_json_too(engine: Engine, other: Path) -> None:
    told = json.loads(engine("heartbeat", "simulate", "--config", str(other), *SPAN, "--json").out)
    (main,) = told["agents"]
    assert (main["before"]["slots"], main["after"]["slots"]) == (47, 23)
    assert len(main["lostMs"]) == 24
    assert main["gainedMs"] == []
    assert main["changed"] == [{"from": "runs", "to": "quiet-hours", "count": 2}]


def test_without_another_config_the_coming_beats_are_told(engine: Engine, other: Path) -> None:
    assert other.exists()
    told = engine("heartbeat", "simulate", *SPAN)
    assert "main: 24 runs, 23 quiet-hours." in told.out
    own = other.parent / ".engine" / "engine.json"
    same = engine("heartbeat", "simulate", "--config", str(own), *SPAN)
    assert "main: nothing changes." in same.out


@pytest.mark.parametrize(
    ("words", "because"),
    [
        (("--config", "nowhere.json"), "is no file"),
        (("--config", "nowhere.json"), "engine.json nowhere.json"),  # cp the one that is there
        (("--days", "1", "--until", "2026-06-09T00:00"), "two ends were given"),
        (("--from", "2026-06-01T00:00", "--until", "2026-05-01T00:00"), "before the beginning"),
        ((*SPAN, "--agent", "nobody"), "agent nobody has no beats"),
    ],
)
@pytest.mark.usefixtures("other")
def test_what_cannot_be_simulated_is_refused(
    engine: Engine, words: tuple[str, ...], because: str
) -> None:
    told = engine("heartbeat", "simulate", *words)
    assert told.status != 0
    assert because in told.err


async def test_messages_are_counted_for_each_side() -> None:
    async def report(**heartbeat: Any) -> Any:
        async with Simulation(
            config(**heartbeat), start="2026-06-01 07:00", checklist="- remind me\n"
        ) as sim:
            return await sim.until("2026-06-01 09:30")

    (one,) = difference(await report(), await report(every="1h"))
    assert (one.before.ran, one.after.ran) == (5, 3) or one.lost
    assert one.before.messages == one.after.messages == 0
    assert not one.gained
