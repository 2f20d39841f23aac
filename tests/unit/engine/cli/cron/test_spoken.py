"""Schedules in words on the command line: said back, with the next slots, before they are saved."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from engine.cli.cron.spoken import schedule
from jobs.errors import InvalidSchedule, UsageError
from jobs.written import parse_schedule
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def utc() -> str:
    return "UTC"


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("0 7 * * *", {"kind": "cron", "expr": "0 7 * * *"}),
        ("H 7 * * *", {"kind": "cron", "expr": "H 7 * * *"}),
        ("0 25 * * *", {"kind": "cron", "expr": "0 25 * * *"}),  # the gateway refuses it
        ("every 10m", {"kind": "every", "everyMs": "10m"}),
        ("20m", {"kind": "at", "at": "20m"}),
        ("@reboot", {"kind": "cron", "expr": "@reboot"}),  # refused there with the way out
        ("@dayly", {"kind": "cron", "expr": "@dayly"}),
    ],
)
def test_what_is_written_stays_as_it_is(
    text: str, wire: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert parse_schedule(str(schedule(text, NOON, utc))) == wire
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "expr", "told"),
    [
        ("every weekday at 9", "0 9 * * 1-5", "2026-11-23 09:00:00"),
        ("工作日早上9点", "0 9 * * 1-5", "2026-11-23 09:00:00"),
    ],
)
def test_words_are_said_back_with_the_next_slots(
    text: str, expr: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wire = schedule(text, NOON, utc, asked="Asia/Shanghai")
    assert wire == {"kind": "cron", "expr": expr, "tz": "Asia/Shanghai"}
    said = capsys.readouterr().err
    assert said.startswith("understood: ")
    assert f"cron {expr} @ Asia/Shanghai; next: {told}, " in said


def test_a_zone_in_words_is_kept_and_another_one_in_a_flag_is_refused() -> None:
    wire = schedule("every day at 9am Berlin time", NOON, utc)
    assert wire == {"kind": "cron", "expr": "0 9 * * *", "tz": "Europe/Berlin"}
    with pytest.raises(UsageError, match="names another zone than --tz"):
        schedule("every day at 9am Berlin time", NOON, utc, asked="Asia/Tokyo")
    assert "tz" in schedule("every day at 9am UTC", NOON, utc, asked="UTC")


def test_words_without_a_zone_leave_it_to_the_gateway_and_are_told_in_the_zone_it_has(
    engine: Engine, gateway: Port
) -> None:
    gateway.core.scheduling.tz = "America/New_York"
    told = engine("cron", "add", "every weekday at 9", "Good morning")
    assert json.loads(told.out)["schedule"] == {"kind": "cron", "expr": "0 9 * * 1-5"}
    assert "09:00:00, " in told.err
    assert "(America/New_York)" in told.err
    told = engine("cron", "add", "tomorrow at 9", "Good morning")
    assert json.loads(told.out)["schedule"]["at"].endswith(("T13:00:00.000Z", "T14:00:00.000Z"))


@pytest.mark.parametrize("words", ["every other day at 8", "every 3 weeks on monday at 8"])
def test_words_that_become_an_interval_are_read_in_the_zone_of_the_flag(
    engine: Engine, gateway: Port, words: str
) -> None:
    told = engine("cron", "add", words, "Water", "--tz", "Europe/Berlin")
    assert sorted(json.loads(told.out)["schedule"]) == ["anchorMs", "everyMs", "kind"]
    assert "Europe/Berlin time" in told.err


def test_words_nobody_understands_are_refused_with_examples() -> None:
    with pytest.raises(InvalidSchedule, match="was not understood"):
        schedule("when the moon is full", NOON, utc)


def test_a_job_is_added_in_words(engine: Engine, gateway: Port) -> None:
    told = engine("cron", "add", "every weekday at 9", "Good morning", "--tz", "Asia/Shanghai")
    assert json.loads(told.out)["schedule"]["expr"] == "0 9 * * 1-5"
    assert "understood: " in told.err


def test_a_job_after_one_that_is_not_there_is_saved_with_a_warning(
    engine: Engine, gateway: Port
) -> None:
    told = engine("cron", "add", "every 1h", "Sum up", "--after", "bakcup")
    assert told.status == 0
    assert "warning: there is no job 'bakcup': every slot is skipped until there is one" in told.err


@pytest.mark.parametrize("words", ["9am", "at 9", "9:30", "at 9 pm"])
def test_an_hour_of_the_day_is_words(engine: Engine, gateway: Port, words: str) -> None:
    told = engine("cron", "add", words, "Water")
    assert json.loads(told.out)["schedule"]["kind"] == "at"
    assert "It runs once; say “every day” for every day." in told.err
