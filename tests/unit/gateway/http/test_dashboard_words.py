"""What stands on the status page, of the facts it is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.http.dashboard import words
from gateway.http.dashboard.facts import Facts
from gateway.http.dashboard.words import Reader
from gateway.protocol.handshake import Phase
from jobs.wallclock import ms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
READER = Reader(now=NOW, zone=ZoneInfo("Europe/Berlin"))
SILENT = {"main": {"cause": "policy", "sentence": "No message of main reaches you.", "fix": "do x"}}
TROUBLE = {"troubles": [{"message": "a disk is nearly full", "fix": "free space"}]}
FAILING = {"failing": {"store": "it is read-only. Fix: chmod u+w state.db"}, **TROUBLE}


@pytest.mark.parametrize(
    ("facts", "phase", "told"),
    [
        (Facts(), Phase.READY, ("good", "healthy", "")),
        (Facts(silence=SILENT), Phase.READY, ("warn", "No message of main reaches you.", "do x")),
        (
            Facts(silence=SILENT, health=TROUBLE),
            Phase.READY,
            ("warn", "a disk is nearly full", "free space"),
        ),
        (
            Facts(health=TROUBLE, amiss={"runs": "the store is closed"}),
            Phase.READY,
            ("bad", "runs cannot be told: the store is closed", "engine doctor"),
        ),
        (
            Facts(health=FAILING, amiss={"runs": "x"}),
            Phase.READY,
            ("bad", "store does not work: it is read-only", "chmod u+w state.db"),
        ),
        (Facts(health=FAILING), Phase.STARTING, ("warn", "the gateway is starting", "")),
    ],
)
def test_the_verdict_is_the_first_thing_in_the_way(
    facts: Facts, phase: Phase, told: tuple[str, str, str]
) -> None:
    found = words.verdict(facts, phase)
    assert (found.level, found.words, found.fix) == told


@pytest.mark.parametrize(
    ("gap", "ago", "clock"),
    [
        (timedelta(minutes=9, seconds=5), "in 9m", "Sun 13:09:05"),
        (-timedelta(seconds=40), "40s ago", "Sun 12:59:20"),
        (timedelta(), "now", "Sun 13:00:00"),
        (-timedelta(days=3, hours=5), "3d ago", "2026-02-26 08:00"),
    ],
)
def test_an_instant_is_told_from_now_and_on_the_person_s_clock(
    gap: timedelta, ago: str, clock: str
) -> None:
    found = READER.when(ms(NOW + gap))
    assert found is not None
    assert (found.ago, found.clock) == (ago, clock)


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"kind": "every", "everyMs": 5_400_000}, "every 1h30m"),
        ({"kind": "cron", "expr": "0 7 * * *", "tz": "UTC", "tzIsDefault": True}, "0 7 * * *"),
        ({"kind": "cron", "expr": "0 7 * * *", "tz": "Asia/Tokyo"}, "0 7 * * * (Asia/Tokyo)"),
        ({"kind": "at", "atMs": ms(NOW)}, "once, Sun 13:00:00"),
        ({"kind": "at", "at": "2026-03-02T09:00"}, "once, 2026-03-02T09:00"),
        ({}, ""),
    ],
)
def test_a_schedule_is_told_in_a_few_words(schedule: dict[str, Any], told: str) -> None:
    assert words.schedule(schedule, READER) == told


def test_identical_neighbours_are_one_row_with_their_number_and_the_oldest_of_them() -> None:
    def beat(minutes: int, reason: str) -> dict[str, Any]:
        at = ms(NOW - timedelta(minutes=minutes))
        return {"ts": at, "agentId": "main", "status": "skipped", "because": reason}

    beats = {"entries": [beat(1, "quiet"), beat(2, "quiet"), beat(4, "busy"), beat(5, "quiet")]}
    runs = {"entries": [{"ts": ms(NOW - timedelta(minutes=3)), "jobName": "brief", "status": "ok"}]}
    rows = words.decisions(Facts(beats=beats, runs=runs), READER)
    assert [(row["who"], row["why"], row["times"]) for row in rows] == [
        ("beat of main", "quiet", 2),
        ("job brief", "", 1),
        ("beat of main", "busy", 1),
        ("beat of main", "quiet", 1),
    ]
    assert rows[0]["at"].ago == "1m ago"
    assert rows[0]["since"].ago == "2m ago"


def test_an_agent_s_row_says_when_where_what_and_why_not() -> None:
    beat = {
        "agentId": "main",
        "enabled": True,
        "cadence": "every 30m",
        "target": "last",
        "route": {"channel": "telegram", "to": "42"},
        "nextDueAtMs": ms(NOW),
        "last": {"status": "skipped", "skipReason": "quiet-hours", "ts": ms(NOW)},
    }
    (row,) = words.agents(Facts(agents=(beat,), silence=SILENT), READER)
    assert (row["beats"], row["target"]) == ("every 30m", "last: telegram:42")
    assert (row["status"], row["tone"], row["because"]) == ("skipped", "warn", "quiet-hours")
    assert (row["silent"], row["fix"]) == ("No message of main reaches you.", "do x")


@pytest.mark.parametrize(
    ("beat", "told"),
    [
        ({"enabled": False, "because": "every is 0m"}, "off: every is 0m"),
        ({"enabled": True, "switchedOn": False}, "off"),
        ({"enabled": True, "paused": {"until": None}}, "paused"),
        ({"enabled": True, "everyMs": 60_000}, "every 1m"),
    ],
)
def test_an_agent_that_does_not_beat_says_so(beat: dict[str, Any], told: str) -> None:
    (row,) = words.agents(Facts(agents=({"agentId": "a", **beat},)), READER)
    assert row["beats"] == told


def test_words_without_end_are_cut() -> None:
    row = words.kept({"text": "x" * 5000}, READER)
    assert len(row["text"]) == 240
