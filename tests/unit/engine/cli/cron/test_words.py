"""Jobs and runs as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.cli.cron.words import (
    JOB_HEAD,
    JOB_SPARE,
    RUN_HEAD,
    job_facts,
    job_row,
    run_row,
    schedule_words,
    status_facts,
    status_word,
)
from engine.cli.render import stamp, table
from jobs.ledger import SCHEDULER_OFF

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LONDON = ZoneInfo("Europe/London")


def ms(ahead: timedelta) -> int:
    return round((NOW + ahead).timestamp() * 1000)


JOB: dict[str, Any] = {
    "id": "j1",
    "name": "brief",
    "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "Asia/Shanghai"},
    "state": {"nextRunAtMs": ms(timedelta(hours=2)), "lastRunAtMs": ms(-timedelta(days=1))},
    "payload": {"kind": "agentTurn", "message": "What is on\ntoday?"},
    "delivery": {"mode": "announce", "channel": "telegram", "to": "42"},
    "sessionTarget": "isolated",
}


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"kind": "at", "at": "2026-12-01T09:00:00Z"}, "at 2026-12-01 09:00Z"),
        ({"kind": "at", "at": "2026-12-01T09:00:00+01:00"}, "at 2026-12-01T09:00:00+01:00"),
        ({"kind": "every", "everyMs": 1_800_000}, "every 30m"),
        ({"kind": "every", "everyMs": 5_000}, "every 5s"),
        (JOB["schedule"], "cron 0 7 * * * @ Asia/Shanghai"),
        (
            {"kind": "cron", "expr": "0 * * * *", "staggerMs": 300_000},
            "cron 0 * * * * (stagger 5m)",
        ),
        ({}, "-"),
    ],
)
def test_a_schedule_in_words(schedule: dict[str, Any], words: str) -> None:
    assert schedule_words(schedule) == words


@pytest.mark.parametrize(
    ("job", "word"),
    [
        ({"enabled": False, "state": {"runningAtMs": 1}}, "disabled"),
        ({"state": {"runningAtMs": 1, "lastRunStatus": "ok"}}, "running"),
        ({"state": {"lastRunStatus": "error", "consecutiveErrors": 3}}, "error (3x)"),
        ({"state": {"lastRunStatus": "error", "consecutiveErrors": 1}}, "error"),
        ({}, "idle"),
    ],
)
def test_a_status_is_one_word(job: dict[str, Any], word: str) -> None:
    assert status_word(job) == word


def test_a_job_is_one_row_and_a_disabled_one_has_no_next_run() -> None:
    row = dict(zip(JOB_HEAD, job_row(JOB, {"j1": {"label": "tg 42"}}, NOW), strict=True))
    assert (row["ID"], row["NEXT"], row["LAST"]) == ("j1", "in 2h", "1d ago")
    assert (row["DELIVERY"], row["AGENT"]) == ("tg 42", "-")
    off = dict(zip(JOB_HEAD, job_row({**JOB, "enabled": False}, {}, NOW), strict=True))
    assert (off["NEXT"], off["STATUS"], off["DELIVERY"]) == ("-", "disabled", "announce")


def test_the_facts_of_a_job_leave_out_what_is_not_known() -> None:
    told = job_facts(JOB, LONDON, NOW)
    assert told["next"] == "2026-11-20 14:00:00 Europe/London (in 2h)"
    assert told["payload"] == "agentTurn: What is on today?"
    assert told["delivery"] == "announce -> telegram:42"
    assert told["agent"] == "main (the default)"
    assert not {"description", "last error", "orphaned"} & told.keys()


def test_a_run_is_one_row_with_its_reason() -> None:
    entry = {
        "runAtMs": ms(timedelta()),
        "jobName": "brief",
        "status": "skipped",
        "skipReason": "quiet-hours",
        "durationMs": 1500,
    }
    row = dict(zip(RUN_HEAD, run_row(entry, LONDON, NOW), strict=True))
    assert row["WHEN"] == "12:00:00"
    assert (row["STATUS"], row["TOOK"]) == ("skipped (quiet-hours)", "1.5 s")


def test_a_paused_job_says_by_whom_until_when_and_why() -> None:
    overlay = {
        "by": "ana",
        "note": "holidays",
        "atMs": ms(timedelta()),
        "untilMs": ms(timedelta(days=1)),
    }
    paused = {**JOB, "state": {**JOB["state"], "paused": overlay}}
    row = dict(zip(JOB_HEAD, job_row(paused, {}, NOW), strict=True))
    assert (row["NEXT"], row["STATUS"]) == ("-", "paused (by ana)")
    told = job_facts(paused, LONDON, NOW)
    assert "next" not in told
    assert told["paused"] == (
        "since 2026-11-20 12:00:00 by ana, until 2026-11-21 12:00:00 Europe/London (holidays)"
    )
    forever = {**overlay, "untilMs": None, "note": ""}
    told = job_facts({**JOB, "state": {"paused": forever}}, LONDON, NOW)
    assert str(told["paused"]).endswith("by ana, until: engine cron resume j1")


def test_what_a_job_asks_of_its_scheduler_is_told() -> None:
    asks = {"maxRunsPerDay": 2, "tags": ["a", "b"], "after": {"job": "x", "within": "2h"}}
    told = job_facts({**JOB, **asks, "jitterMs": 5000}, LONDON, NOW)
    assert (told["max runs per day"], told["tags"], told["jitter"]) == ("2", "a b", "5s")
    assert told["after"] == "job x, within 2h"


def test_instants_and_lengths_are_told_as_people_read_them() -> None:
    alert = {"after": 2, "cooldownMs": 3_600_000}
    told = job_facts({**JOB, "until": ms(timedelta(days=1)), "failureAlert": alert}, LONDON, NOW)
    assert told["until"] == "2026-11-21 12:00:00 Europe/London"
    assert told["failure alert"] == "after 2, cooldown 1h"


def test_an_event_has_no_words_of_its_own_to_deliver() -> None:
    entry = {"ts": ms(timedelta()), "status": "ok", "deliveryStatus": "not-requested"}
    column = RUN_HEAD.index("DELIVERY")
    assert run_row(entry, LONDON, NOW)[column] == "-"
    assert run_row({**entry, "eventId": "e-1"}, LONDON, NOW)[column] == "by its beat"


def test_the_scheduler_is_told_in_words() -> None:
    told = {"enabled": False, "jobs": 2, "nextRunAtMs": ms(timedelta(hours=2)), "missed24h": 1}
    rows = status_facts(told, LONDON, NOW)
    assert rows["scheduler"] == "off (cron.enabled)"
    assert rows["next job"] == "2026-11-20 14:00:00 Europe/London (in 2h)"
    assert rows["last 24 h"] == "1 missed, 0 failed"


def test_jobs_that_are_set_aside_are_told_by_their_ids() -> None:
    aside = [{"jobId": "b-1", "reason": "no JSON"}, {"jobId": "b-2", "reason": "no JSON"}]
    rows = status_facts({"enabled": True, "quarantined": aside}, LONDON, NOW)
    assert rows["set aside"] == "b-1, b-2"


def test_the_id_of_a_job_can_be_pasted_from_eighty_columns() -> None:
    job = {**JOB, "id": "8f93348d-b8cc-4238-a039-ad5341abc2bd", "name": "water the plants"}
    text = table(JOB_HEAD, [job_row(job, {}, NOW)], room=80, keep=1, spare=JOB_SPARE)
    assert job["id"] in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {
                "deliveryStatus": "not-delivered",
                "deliveryReason": "blocked",
                "deliveryError": "bot was blocked by the user",
                "deliveryFix": "in the chat: unblock or start the bot",
            },
            "blocked: bot was blocked by the user. Fix: in the chat: unblock or start the bot",
        ),
        (
            {"skipReason": "no-route", "because": "nobody wrote yet", "summary": "The news."},
            "nobody wrote yet. Fix: in the chat: send the bot one message",
        ),
        ({"skipReason": "overlap-skip"}, "The previous run was still going. Fix: "),
        ({"skipReason": "duplicate", "because": "said before"}, "said before"),
        (
            {"skipReason": "disabled", "because": SCHEDULER_OFF},
            f"{SCHEDULER_OFF}. Fix: engine config set cron.enabled true",
        ),
        ({"skipReason": "of-a-newer-gateway", "summary": "The news."}, "The news."),
        ({"deliveryStatus": "delivered", "summary": "The news."}, "The news."),
    ],
)
def test_a_run_nobody_heard_of_says_why_and_what_to_do(entry: dict[str, Any], words: str) -> None:
    row = dict(zip(RUN_HEAD, run_row({"status": "ok", **entry}, LONDON, NOW), strict=True))
    assert row["SUMMARY"].startswith(words)


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("paused", "Fix: engine cron resume j-1"),
        ("missed-downtime", "Fix: engine cron edit j-1 --misfire run-once"),
    ],
)
def test_what_is_to_be_done_about_a_slot_that_did_not_run_helps(reason: str, fix: str) -> None:
    entry = {"jobId": "j-1", "status": "skipped", "skipReason": reason, "because": "so it was"}
    assert run_row(entry, LONDON, NOW)[-1].endswith(fix)


def test_a_slot_somebody_left_out_says_who_and_is_no_calendar_of_anybody() -> None:
    because = "this slot was left out by hand, by cli: holiday"
    entry = {"status": "skipped", "skipReason": "calendar-excluded", "because": because}
    row = dict(zip(RUN_HEAD, run_row(entry, LONDON, NOW), strict=True))
    assert (row["STATUS"], row["SUMMARY"]) == ("skipped (left out by hand)", because)


def test_a_run_that_waits_for_another_job_does_not_run() -> None:
    because = "job first has not succeeded since its slot of 2026-05-05 12:00Z (last: never)"
    entry = {"status": "running", "skipReason": "gate-closed", "because": because}
    row = dict(zip(RUN_HEAD, run_row(entry, LONDON, NOW), strict=True))
    assert (row["STATUS"], row["SUMMARY"]) == ("waiting (gate-closed)", because)


def test_a_missed_slot_is_told_at_its_instant_and_not_when_that_was_found() -> None:
    slot, found = 1_780_000_000_000, 1_780_007_200_000
    entry = {"status": "skipped", "skipReason": "missed-downtime", "ts": found, "runAtMs": found}
    row = run_row({**entry, "scheduledForMs": slot}, LONDON, NOW)
    assert row[0] == stamp(slot, LONDON, NOW)
    assert row[2] == "missed (missed-downtime)"


@pytest.mark.parametrize(("error", "word"), [("500 ok", "retried"), (None, "on its way")])
def test_a_message_that_is_tried_again_is_not_unknown_to_a_person(
    error: str | None, word: str
) -> None:
    entry = {"deliveryStatus": "unknown", "deliveryState": "queued", "deliveryError": error}
    assert run_row(entry, LONDON, NOW)[RUN_HEAD.index("DELIVERY")] == word
