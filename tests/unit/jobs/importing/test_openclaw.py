"""OpenClaw's jobs: files, database, legacy places, history."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.edit import Rules, create
from jobs.errors import UnreadableSource
from jobs.importing import documents
from jobs.importing.openclaw import Reading, from_rows, read
from jobs.importing.report import Entry, Report, Weight

FILES = Path(__file__).parents[3] / "fixtures" / "import" / "openclaw"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNELS = {"telegram": "telegram", "qq": "qqbot", "local": "local"}
HOW = Reading(now=NOW, channels=CHANNELS)
BRIEF = "7f9c2a10-0b1d-4c55-9d5a-3f6f0a1b2c3d"


def text(name: str) -> str:
    return (FILES / name).read_text("utf-8")


def one(job: dict[str, Any], how: Reading = HOW) -> tuple[Entry | None, Report]:
    plain = {
        "id": "a",
        "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC"},
        "payload": {"kind": "agentTurn", "message": "Look"},
    }
    report = read({"version": 1, "jobs": [plain | job]}, how)
    return (report.entries[0] if report.entries else None), report


def made(**job: Any) -> dict[str, Any]:
    entry, _ = one(job)
    assert entry is not None
    return dict(entry.job)


@pytest.fixture(scope="module")
def files() -> Report:
    return read(
        json.loads(text("jobs.json")),
        HOW,
        states=json.loads(text("jobs-state.json")),
        logs={f"runs/{BRIEF}.jsonl": text(f"runs/{BRIEF}.jsonl")},
    )


@pytest.fixture(scope="module")
def rows() -> Report:
    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        database.executescript(text("state.sql"))
        jobs = [dict(row) for row in database.execute("SELECT * FROM cron_jobs")]
        logged = [dict(row) for row in database.execute("SELECT * FROM cron_run_logs")]
        ended = "SELECT * FROM task_runs WHERE runtime = 'cron'"
        finished = [dict(row) for row in database.execute(ended)]
    return from_rows(jobs, HOW, logged=logged, finished=finished)


def entry_of(report: Report, ident: str) -> Entry:
    return next(one for one in report.entries if one.key == f"import:openclaw:{ident}")


# -- files ---------------------------------------------------------------------------------------


def test_every_row_is_a_job_or_a_remark(files: Report) -> None:
    assert [one.key.removeprefix("import:openclaw:") for one in files.entries] == [
        *(BRIEF, "heart", "legacy-1", "once", "gated")
    ]
    lost = [(one.where, one.why) for one in files.remarks if one.weight is Weight.LEFT_OUT]
    assert lost == [
        ("runs/7f9c2a10-0b1d-4c55-9d5a-3f6f0a1b2c3d.jsonl line 5", "it is no JSON object"),
        ("jobs[4] (Build finished)", "schedule kind 'on-exit' is not supported here"),
        ("jobs[6]", "it is no object"),
        (
            "jobs[1] (Hourly look)",
            "jobs[7] (Hourly look again) has the same id: that one was taken",
        ),
    ]


def test_all_jobs_are_accepted_at_the_desk(files: Report, rows: Report) -> None:
    for entry in (*files.entries, *rows.entries):
        create(entry.job, Rules(now=NOW, past=True))


def test_a_job_keeps_its_id_and_what_it_says(files: Report) -> None:
    job = entry_of(files, BRIEF).job
    assert job["id"] == BRIEF
    assert job["payload"] == {
        "kind": "agentTurn",
        "message": "Summarise overnight updates",
        "model": "openai/gpt-5",
        "timeoutSeconds": 0,
    }
    assert job["delivery"] == {
        "mode": "announce",
        "channel": "telegram",
        "to": "-1001234567890",
        "threadId": 42,
        "bestEffort": True,
    }
    assert job["failureAlert"] == {"after": 3, "cooldownMs": 600_000}


def test_the_file_of_states_counts_and_the_next_slot_is_not_taken(files: Report) -> None:
    state = entry_of(files, BRIEF).state
    assert state["lastRunStatus"] == "error"
    assert state["consecutiveErrors"] == 2
    assert "nextRunAtMs" not in state
    assert "runningAtMs" not in state
    why = "it was running when the store was read"
    assert why in [one.why for one in files.remarks]


def test_the_log_is_kept_but_for_what_is_no_end(files: Report) -> None:
    assert [run["status"] for run in entry_of(files, BRIEF).runs] == ["ok", "skipped", "error"]


def test_legacy_places_are_read(files: Report) -> None:
    entry = entry_of(files, "legacy-1")
    assert entry.job["schedule"] == {"kind": "cron", "expr": "*/30 * * * *"}
    assert entry.job["payload"] == {
        "kind": "agentTurn",
        "message": "Check the mail",
        "thinking": "low",
    }


def test_a_channel_nobody_has_here_switches_the_job_off(files: Report) -> None:
    assert entry_of(files, "legacy-1").job["enabled"] is False
    held = [one for one in files.remarks if one.where == "jobs[2]"]
    assert held[0].weight is Weight.HELD
    assert "+15550100" in held[0].text


def test_a_grid_goes_on_where_it_was(files: Report) -> None:
    assert made(schedule={"kind": "every", "everyMs": "60000"}, createdAtMs=1_770_000_000_000)[
        "schedule"
    ] == {"kind": "every", "everyMs": 60_000, "anchorMs": 1_770_000_000_000}
    assert entry_of(files, "gated").job["schedule"]["anchorMs"] == 1_770_000_030_000


def test_a_one_shot_that_was_missed_waits_for_a_person(files: Report) -> None:
    assert entry_of(files, "once").job["enabled"] is False
    remark = next(one for one in files.remarks if one.where.startswith("jobs[3]"))
    assert (remark.weight, remark.why) == (
        Weight.HELD,
        "its instant has passed without a run",
    )


def test_a_condition_script_switches_the_job_off(files: Report) -> None:
    assert entry_of(files, "gated").job["enabled"] is False
    whys = [one.why for one in files.remarks if one.where.startswith("jobs[5]")]
    assert whys == [
        "payload.criticSpec has no counterpart here",
        "it ran in the session it was made in, which it does not name: it becomes isolated",
        "delivery mode 'shout' is not known: left out",
        "its trigger script decided whether to run; here nothing would: switched off",
    ]


# -- one job -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "schedule"),
    [
        ("0 9 * * *", {"kind": "cron", "expr": "0 9 * * *"}),
        ({"cron": "0 9 * * *"}, {"kind": "cron", "expr": "0 9 * * *"}),
        ({"kind": "AT", "atMs": 1772400000000}, {"kind": "at", "at": "1772400000000"}),
        ({"at": "2027-01-01T00:00:00Z"}, {"kind": "at", "at": "2027-01-01T00:00:00Z"}),
        ({"everyMs": 1500.7, "anchorMs": 0}, {"kind": "every", "everyMs": 1500, "anchorMs": 0}),
        (
            {"kind": "cron", "expr": "0 * * * *", "staggerMs": "60000"},
            {"kind": "cron", "expr": "0 * * * *", "staggerMs": 60_000},
        ),
    ],
)
def test_schedules_of_all_releases_are_read(given: Any, schedule: dict[str, Any]) -> None:
    assert made(schedule=given)["schedule"] == schedule


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        ({"kind": "agentturn", "message": "x"}, {"kind": "agentTurn", "message": "x"}),
        ({"kind": "SYSTEMEVENT", "message": "x"}, {"kind": "systemEvent", "text": "x"}),
        ({"text": "x"}, {"kind": "systemEvent", "text": "x"}),
        ({"argv": ["df"]}, {"kind": "command", "argv": ["df"]}),
    ],
)
def test_payloads_of_all_releases_are_read(given: Any, payload: dict[str, Any]) -> None:
    assert made(payload=given)["payload"] == payload


@pytest.mark.parametrize(
    ("job", "delivery"),
    [
        ({"deliver": False}, {"mode": "none"}),
        (
            {"channel": "telegram", "to": "1"},
            {"mode": "announce", "channel": "telegram", "to": "1"},
        ),
        ({"provider": "qq", "to": "1"}, {"mode": "announce", "channel": "qqbot", "to": "1"}),
        (
            {"payload": {"kind": "agentTurn", "message": "x", "deliver": True, "to": "1"}},
            {"mode": "announce", "channel": "last", "to": "1"},
        ),
        ({"delivery": {"mode": "deliver"}}, {"mode": "announce", "channel": "last"}),
        ({}, {"mode": "announce", "channel": "last"}),
        (
            {"delivery": {"mode": "webhook", "to": "https://x.org", "channel": "last"}},
            {"mode": "webhook", "to": "https://x.org"},
        ),
    ],
)
def test_deliveries_of_all_releases_are_read(job: dict[str, Any], delivery: Any) -> None:
    assert made(**job)["delivery"] == delivery


def test_without_a_channel_it_speaks_on_the_last_route_however_many_there_are() -> None:
    create(made(), Rules(now=NOW, channels=("telegram", "qqbot")))


def test_an_event_of_the_main_session_announces_nothing() -> None:
    entry, report = one(
        {
            "payload": {"kind": "systemEvent", "text": "x"},
            "delivery": {"mode": "announce", "channel": "telegram"},
        }
    )
    assert entry is not None
    assert "delivery" not in entry.job
    assert report.remarks[0].weight is Weight.CHANGED


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"schedule": None}, "it has no schedule"),
        ({"schedule": {"kind": "stream", "command": ["x"]}}, "schedule kind 'stream'"),
        ({"schedule": {}}, "schedule kind '-'"),
        ({"payload": {"kind": "script", "script": "x"}}, "payload kind 'script'"),
        ({"payload": {"kind": "heartbeat"}}, "payload kind 'heartbeat'"),
        ({"payload": None}, "payload kind '-'"),
    ],
)
def test_what_is_not_supported_is_left_out_by_name(job: dict[str, Any], why: str) -> None:
    entry, report = one(job)
    assert entry is None
    assert report.remarks[0].weight is Weight.LEFT_OUT
    assert why in report.remarks[0].why


def test_an_id_that_is_none_here_is_told() -> None:
    entry, report = one({"id": "a/../b"})
    assert entry is not None
    assert entry.job["id"].startswith("openclaw-")
    assert "'a/../b' is none here" in report.remarks[0].why
    assert one({"id": "a/../b"})[0] == entry


@pytest.mark.parametrize(
    ("store", "why"),
    [
        ({"version": 1}, "it has no list of jobs"),
        ({"version": 7, "jobs": []}, "version 7"),
        ("x", "it has no list of jobs"),
        (None, "it has no list of jobs"),
    ],
)
def test_what_is_no_jobs_file_is_refused(store: Any, why: str) -> None:
    with pytest.raises(UnreadableSource, match=why):
        read(store, HOW)


@pytest.mark.parametrize(
    "damaged", ['{"version":1,"jobs":[{"id"', "", "[" * 100_000, '{"jobs": NaN}', '{"a": 1} {']
)
def test_a_damaged_file_is_refused_whole(damaged: str) -> None:
    with pytest.raises(UnreadableSource, match=r"jobs\.json cannot be read"):
        documents.parsed(damaged, "jobs.json")


# -- the database --------------------------------------------------------------------------------


def test_the_database_says_the_same_as_the_files(rows: Report) -> None:
    assert [one.key for one in rows.entries] == ["import:openclaw:brief", "import:openclaw:probe"]
    brief = entry_of(rows, "brief")
    assert brief.job["enabled"] is False  # the column counts
    assert brief.state["lastRunStatus"] == "ok"
    assert entry_of(rows, "probe").job["delivery"] == {
        "mode": "webhook",
        "to": "https://example.org/hook",
    }


def test_history_comes_from_both_tables_it_was_kept_in(rows: Report) -> None:
    runs = entry_of(rows, "brief").runs
    assert [(run["ts"], run["summary"]) for run in runs] == [
        (1_772_233_211_000, "All quiet"),
        (1_772_319_604_000, None),
    ]
    assert entry_of(rows, "probe").runs == ()


def test_what_is_lost_of_the_database_is_told(rows: Report) -> None:
    assert [(one.weight, one.where, one.why) for one in rows.remarks] == [
        (
            Weight.LEFT_OUT,
            "cron_jobs beat (Heartbeat)",
            "payload kind 'heartbeat' is not supported here",
        ),
        (Weight.LEFT_OUT, "cron_jobs broken", "its job_json is no object"),
        (Weight.NOTE, "run log", "1 runs of 1 jobs that are gone are not taken over"),
    ]
