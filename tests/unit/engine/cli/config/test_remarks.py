"""`engine config validate` tells of active hours in which no beat would come (heartbeat.md §4)."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engine.cli.conftest import Engine

NIGHT = {"start": "02:00", "end": "02:10", "timezone": "UTC"}
NEVER = [{"days": "sat", "except": "sat", "start": "09:00", "end": "17:00"}]


def notes(engine: Engine, home: Path, agents: dict[str, Any]) -> list[dict[str, Any]]:
    (home / ".engine" / "engine.json").write_text(json.dumps({"agents": agents}))
    found = json.loads(engine("config", "validate", "--json").out)["notes"]
    return [one for one in found if one["code"] == "heartbeat.window_never_open"]


def beating(**block: Any) -> dict[str, Any]:
    return {"defaults": {"heartbeat": block}}


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"every": "24h", "phase": "13:30", "activeHours": NIGHT}, 'phase: "02:00"'),
        ({"every": "24h", "phase": "02:05", "activeHours": NIGHT}, None),
        ({"every": "5m", "phase": "00:00", "activeHours": NIGHT}, None),
        ({"every": "30m", "activeHours": NEVER}, "opens within two years"),
        # Where a hashed phase lies is not known before the first start: nothing is guessed.
        ({"every": "24h", "activeHours": NIGHT}, None),
        ({"every": "0m", "phase": "13:30", "activeHours": NIGHT}, None),
        ({"every": "24h", "phase": "13:30"}, None),
    ],
)
def test_hours_that_meet_no_beat_are_told_with_what_mends_them(
    engine: Engine, home: Path, block: dict[str, Any], words: str | None
) -> None:
    found = notes(engine, home, beating(**block))
    assert len(found) == (0 if words is None else 1)
    for note in found:
        assert note["path"] == "agents.defaults.heartbeat.activeHours"
        assert note["message"].startswith("agent main: window-never-open: ")
        assert words in note["message"]


def test_it_names_the_block_whose_hours_they_are(engine: Engine, home: Path) -> None:
    own = {"id": "ops", "heartbeat": {"every": "24h", "phase": "12:00", "activeHours": NIGHT}}
    (note,) = notes(engine, home, {"list": [{"id": "main"}, own]})
    assert note["path"] == "agents.list.1.heartbeat.activeHours"
    told = engine("config", "validate").err
    assert "warning: agents.list.1.heartbeat.activeHours: agent ops: window-never-open" in told


def test_the_phase_of_an_installation_counts_once_there_is_one(engine: Engine, home: Path) -> None:
    with sqlite3.connect(home / ".engine" / "state.db") as db:
        db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
        db.execute("INSERT INTO meta VALUES ('installation.id', 'engine-test-seed')")
    (note,) = notes(engine, home, beating(every="24h", activeHours=NIGHT))
    assert "has no beat within 02:00-02:10" in note["message"]
