"""Jobs as a crontab, and what it cannot say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.codec import job_to_json
from jobs.edit import Rules, create
from jobs.exporting.crontab import crontab
from jobs.importing.crontab import Reading, read
from jobs.importing.report import Weight

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUIET = {"misfire": {"policy": "skip"}, "delivery": {"mode": "none"}}


def wire(**more: Any) -> dict[str, Any]:
    given = {
        "id": "a",
        "name": "A job",
        "schedule": {"kind": "cron", "expr": "0 7 * * *", "tz": "UTC", "staggerMs": 0},
        "payload": {
            "kind": "command",
            "argv": ["/bin/sh", "-c", "x"],
            "cwd": "/",
            "timeoutSeconds": 0,
        },
        **QUIET,
    }
    return job_to_json(create({**given, **more}, Rules(now=NOW)))


def line_of(**more: Any) -> str:
    return crontab([wire(**more)]).text.splitlines()[-1]


def fields_of(expr: str, **more: Any) -> str:
    schedule = {"kind": "cron", "expr": expr, "tz": "UTC", "staggerMs": 0, **more}
    return line_of(schedule=schedule).split(" cd ")[0]


def test_a_command_is_a_line_under_its_name_and_zone() -> None:
    made = crontab([wire()])
    assert made.text == ("CRON_TZ=UTC\n\n# A job\n0 7 * * * cd / && /bin/sh -c x\n")
    assert made.remarks == ()


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        ({"argv": ["df", "-h", "/a b"]}, "df -h '/a b'"),
        ({"argv": ["sh", "-c", "a | b"]}, "a | b"),
        ({"argv": ["sh", "-lc", "a | b"]}, "sh -lc 'a | b'"),
        ({"argv": ["date", "+%F"]}, "date +\\%F"),
        ({"argv": ["x"], "env": {"A": "b c"}}, "env 'A=b c' x"),
        ({"argv": ["x"], "input": "a\n5%\n"}, "x%a%5\\%"),
    ],
)
def test_a_command_is_quoted_for_the_shell_and_for_cron(payload: Any, command: str) -> None:
    told = line_of(payload={"kind": "command", "timeoutSeconds": 0, **payload})
    assert told == f"0 7 * * * {command}"


@pytest.mark.parametrize(
    ("expr", "fields"),
    [
        ("*/15 9-17 * * 1-5", "*/15 9-17 * * 1-5"),
        ("0 0 9 * * *", "0 9 * * *"),
        ("@daily", "@daily"),
        ("0 9 ? * 1", "0 9 * * 1"),
        ("0 7 * jan,Jul MON-FRI", "0 7 * 1,7 1-5"),
        ("0 7 * * fri-mon", "0 7 * * 5-7,0-1"),
        ("5/20 * * * *", "5-59/20 * * * *"),
        ("0 22-2 * * *", "0 22-23,0-2 * * *"),
        ("0 0 */2 * 1", "0 0 1-31/2 * 1"),  # either: no field may begin with a star
        ("0 0 1 * */2", "0 0 1 * 0-6/2"),
    ],
)
def test_expressions_are_written_as_cron_reads_them(expr: str, fields: str) -> None:
    assert fields_of(expr) == fields


def test_both_days_is_what_a_star_says_to_cron() -> None:
    assert fields_of("0 0 */2 * 1", dayMatch="and") == "0 0 */2 * 1"


def test_a_hashed_minute_is_the_one_it_has() -> None:
    minute = fields_of("H 3 * * *").split(" ")[0]
    assert minute.isdecimal()


@pytest.mark.parametrize(
    ("schedule", "fields"),
    [
        ({"everyMs": 900_000, "anchorMs": 0}, "*/15 * * * *"),
        ({"everyMs": 900_000, "anchorMs": 420_000}, "7-59/15 * * * *"),
        ({"everyMs": 60_000, "anchorMs": 0}, "* * * * *"),
        ({"everyMs": 3_600_000, "anchorMs": 300_000}, "5 * * * *"),
        ({"everyMs": 21_600_000, "anchorMs": 3_900_000}, "5 1-23/6 * * *"),
        ({"everyMs": 86_400_000, "anchorMs": 32_400_000}, "0 9 * * *"),
        ({"everyMs": 604_800_000, "anchorMs": 0}, "0 0 * * 4"),
    ],
)
def test_a_cadence_that_fits_is_a_line(schedule: dict[str, Any], fields: str) -> None:
    assert line_of(schedule={"kind": "every", **schedule}).split(" cd ")[0] == fields


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"payload": {"kind": "agentTurn", "message": "m"}}, "words for an agent"),
        ({"schedule": {"kind": "at", "at": "2027-01-01T00:00:00Z"}}, "this runs once"),
        ({"schedule": {"kind": "every", "everyMs": 90_000}}, "not one of whole minutes"),
        ({"schedule": {"kind": "every", "everyMs": 420_000, "anchorMs": 0}}, "does not fit"),
        ({"schedule": {"kind": "cron", "expr": "30 0 7 * * *"}}, "no seconds"),
        ({"schedule": {"kind": "cron", "expr": "0 0 7 * * * 2030"}}, "no years"),
        ({"schedule": {"kind": "cron", "expr": "0 7 L * *"}}, "no 'l'"),
        ({"schedule": {"kind": "cron", "expr": "0 7 * * 1#2"}}, "no '1#2'"),
        ({"schedule": {"kind": "cron", "expr": "0 7 13 * +5"}}, "a date and a weekday at once"),
        ({"payload": {"kind": "command", "argv": ["a\nb"]}}, "several lines"),
    ],
)
def test_what_has_no_line_is_a_comment_and_a_remark(job: dict[str, Any], why: str) -> None:
    made = crontab([wire(**job)])
    assert all(line.startswith("#") for line in made.text.splitlines())
    (remark,) = made.remarks
    assert remark.weight is Weight.LEFT_OUT
    assert why in remark.why
    assert "engine cron run a" in remark.fix


def test_what_a_line_cannot_say_is_remarked() -> None:
    job = wire(
        misfire={"policy": "run-all"},
        delivery={"mode": "announce"},
        maxRuns=3,
        payload={"kind": "command", "argv": ["x"]},
    )
    assert [one.why for one in crontab([job]).remarks] == [
        "a crontab cannot say: delivery, maxRuns, misfire, timeoutSeconds",
        "cron starts it in the home directory, not in the agent's workspace",
    ]


def test_a_disabled_job_stays_a_comment() -> None:
    assert line_of(enabled=False).startswith("# switched off: 0 7 * * *")


def test_an_imported_crontab_comes_back_as_it_was() -> None:
    text = "CRON_TZ=Europe/Berlin\n\n# Mail, 50% off\n5 3 * * 1 mail%Hello%\n"
    entries = read(text, Reading(zone="UTC")).entries
    jobs = [job_to_json(create(entry.job, Rules(now=NOW))) for entry in entries]
    again = read(crontab(jobs).text, Reading(zone="UTC")).entries
    assert [entry.job for entry in again] == [entry.job for entry in entries]
