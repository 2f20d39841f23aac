"""nanobot's jobs and the actions that wait beside them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.edit import Rules, create
from jobs.errors import UnreadableSource
from jobs.importing.nanobot import read
from jobs.importing.report import Report, Weight

FILES = Path(__file__).parents[3] / "fixtures" / "import" / "nanobot"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNELS = {"telegram": "telegram", "qq": "qqbot"}


def of(store: Any, actions: str = "") -> Report:
    return read(store, now=NOW, zone="Asia/Shanghai", channels=CHANNELS, actions=actions)


@pytest.fixture(scope="module")
def report() -> Report:
    return of(
        json.loads((FILES / "jobs.json").read_text("utf-8")),
        (FILES / "action.jsonl").read_text("utf-8"),
    )


def test_every_job_is_there_once_the_waiting_actions_are_done(report: Report) -> None:
    assert [entry.job["id"] for entry in report.entries] == ["a1b2c3d4", "ee00ff11", "new1"]
    assert entry(report, "new1")["schedule"] == {
        "kind": "every",
        "everyMs": 600_000,
        "anchorMs": 1_772_300_000_000,
    }


def entry(report: Report, ident: str) -> dict[str, Any]:
    return next(dict(one.job) for one in report.entries if one.job["id"] == ident)


def test_all_jobs_are_accepted_at_the_desk(report: Report) -> None:
    for one in report.entries:
        create(one.job, Rules(now=NOW, past=True))


def test_a_job_answers_where_it_was_made(report: Report) -> None:
    job = entry(report, "a1b2c3d4")
    assert job["delivery"] == {"mode": "announce", "channel": "telegram", "to": "123"}
    assert job["schedule"]["tz"] == "Asia/Shanghai"  # its expressions are meant in the host's zone


def test_history_and_state_come_along(report: Report) -> None:
    first = report.entries[0]
    assert [run["status"] for run in first.runs] == ["error", "ok"]
    assert first.state == {"lastRunAtMs": 1_772_182_800_000, "lastStatus": "ok"}


def test_a_period_goes_on_from_the_last_run(report: Report) -> None:
    assert entry(report, "ee00ff11")["schedule"]["anchorMs"] == 1_772_150_000_000


def test_what_got_lost_is_told(report: Report) -> None:
    assert [(one.weight, one.where, one.why) for one in report.remarks] == [
        (Weight.LEFT_OUT, "action.jsonl line 3", "it is no JSON object"),
        (Weight.LEFT_OUT, "jobs[0] (Stand-up)", "some of its runs cannot be read"),
        (Weight.HELD, "jobs[1] (Water the plants)", "'whatsapp' is no channel here: switched off"),
        (Weight.LEFT_OUT, "jobs[2] (Dream)", "it is one of nanobot's own jobs (system_event)"),
    ]
    assert entry(report, "ee00ff11")["enabled"] is False


@pytest.mark.parametrize(
    ("state", "weight"), [({}, Weight.HELD), ({"lastStatus": "ok"}, Weight.NOTE)]
)
def test_an_instant_that_has_passed_never_fires(state: dict[str, Any], weight: Weight) -> None:
    report = of(
        [
            {
                "id": "x",
                "schedule": {"kind": "at", "atMs": 1_771_000_000_000},
                "payload": {"message": "m", "sessionKey": "k", "channel": "telegram", "to": "1"},
                "state": state,
            }
        ]
    )
    assert report.entries[0].job["enabled"] is False
    assert report.remarks[0].weight is weight


def test_a_job_without_a_chat_speaks_on_the_last_route() -> None:
    row = {"id": "x", "schedule": {"kind": "every", "everyMs": 1}, "payload": {"message": "m"}}
    report = of([row])
    assert report.entries[0].job["delivery"] == {"mode": "announce", "channel": "last"}
    assert "bound to no chat" in report.remarks[0].why


@pytest.mark.parametrize("schedule", [None, {}, {"kind": "every"}, {"kind": "cron", "expr": ""}])
def test_a_schedule_that_never_fires_is_left_out(schedule: Any) -> None:
    report = of([{"id": "x", "schedule": schedule, "payload": {"message": "m"}}])
    assert not report.entries
    assert report.remarks[0].weight is Weight.LEFT_OUT


def test_what_is_no_jobs_file_is_refused() -> None:
    with pytest.raises(UnreadableSource, match="no list of jobs"):
        of({"version": 1, "jobs": {}})
