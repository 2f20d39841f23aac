"""Jobs of the config from the command line: what a file would change, and an entry to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

CONFIG = """{
  cron: { tz: 'UTC', jobs: {
    brief: { schedule: '0 7 * * *', message: 'What is on?', deliver: 'none' },
    disk: { schedule: 'every 5m', command: ['df'], deliver: 'none' },
  } },
}
"""


@pytest.fixture
def config(home: Path) -> Path:
    path = home / ".engine" / "engine.json"
    path.write_text(CONFIG)
    return path


def test_a_plan_says_what_a_config_would_change_and_when_it_would_run(
    engine: Engine, config: Path
) -> None:
    told = engine("cron", "plan", "--json")
    assert told.status == 0
    plan = json.loads(told.out)
    assert [(one["act"], one["key"]) for one in plan["changes"]] == [
        ("add", "brief"),
        ("add", "disk"),
    ]
    assert [len(one["next"]) for one in plan["changes"]] == [3, 3]
    words = engine("cron", "plan", "--check")
    assert words.status == 1
    assert "+ add" in words.out
    assert "2 changes; 0 jobs stay as they are." in words.out


def test_another_file_can_be_planned_and_nothing_is_written(
    engine: Engine, home: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_text("{ cron: { jobs: {} } }")
    assert engine("cron", "plan", "--config", str(other), "--check").status == 0
    assert not (home / ".engine" / "state.db").exists()


def test_a_plan_that_cannot_be_applied_says_why(engine: Engine, config: Path) -> None:
    config.write_text(CONFIG.replace("0 7 * * *", "0 25 * * *"))
    told = engine("cron", "plan")
    assert told.status == 78
    assert "cron.jobs.brief" in told.err


def test_a_job_after_one_that_is_not_there_is_remarked_on(engine: Engine, config: Path) -> None:
    named = "deliver: 'none', after: 'nojob', contextFrom: ['brief', 'gone']"
    config.write_text(CONFIG.replace("['df'], deliver: 'none'", f"['df'], {named}"))
    for words in (("cron", "plan"), ("config", "validate")):
        told = engine(*words)
        assert told.status == 0
        assert "warning: cron.jobs.disk: there is no job 'nojob': every slot is skipped" in told.err
        assert "there is no job 'gone', whose output it asks for" in told.err
        assert "'brief'" not in told.err
    assert len(json.loads(engine("config", "validate", "--json").out)["notes"]) == 2


def test_a_job_is_printed_as_the_entry_that_declares_it(engine: Engine, gateway: Port) -> None:
    words = ("cron", "add", "0 7 * * *", "What is on?", "--name", "Brief", "--no-deliver")
    made = json.loads(engine(*words).out)["id"]
    told = engine("cron", "eject", made, "--json")
    entry = json.loads(told.out)["cron"]["jobs"]["brief"]
    assert entry["payload"]["message"] == "What is on?"
    assert "id" not in entry
    assert "brief: {" in engine("cron", "eject", made).out
