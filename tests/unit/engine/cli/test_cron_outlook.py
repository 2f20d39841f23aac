"""`engine cron explain`, `next` of a job, `timeline` and `audit`, as a user would."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.cli.cron.explain import is_expression
from engine.cli.main import main
from jobs.ledger import Run, RunStatus, Trigger
from jobs.model import AgentTurn, HeartbeatBeat, Job
from jobs.schedule import Cron, Every
from jobs.store import jobs as job_rows, runs as run_rows
from jobs.store.db import Database, Tx
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Answer, Engine

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # noqa: TID251 - the command looks at the clock
DAY_AGO = NOW - timedelta(days=1)


def told(answer: Answer) -> Any:
    return json.loads(answer.out)


@pytest.fixture
def stored(home: Path) -> Path:
    """A home with a job of every hour, whose rows are all there, a daily one and a heartbeat."""
    file = home / ".engine" / "state.db"
    hourly = Job(
        id="hourly", name="hourly", schedule=Every(HOUR, DAY_AGO), payload=AgentTurn(message="x")
    )
    daily = Job(
        id="brief",
        name="morning brief",
        schedule=Cron("30 2 * * *", "America/New_York"),
        payload=AgentTurn(message="x"),
    )
    beats = Job(
        id="heartbeat:main",
        name="heartbeat main",
        schedule=Every(timedelta(days=9), NOW),
        payload=HeartbeatBeat(),
        agent_id="main",
    )
    rows = [
        Run(
            id=f"r-{n:04}",
            job_id="hourly",
            kind="cron",
            agent_id=None,
            trigger=Trigger.SCHEDULE,
            status=RunStatus.OK,
            slot=DAY_AGO + n * HOUR,
        )
        for n in range(1, 25)
    ]

    def work(tx: Tx) -> None:
        job_rows.insert(tx, hourly, next_run_at=NOW + HOUR, now=DAY_AGO)
        job_rows.insert(tx, daily, next_run_at=daily.schedule.next_after(NOW), now=NOW)
        job_rows.insert(tx, beats, next_run_at=NOW + timedelta(days=9), now=NOW)
        run_rows.insert(tx, rows)

    async def fill() -> None:
        database = await Database.open(file)
        await database.write(work)
        await database.close()

    asyncio.run(fill())
    return file


# -- explain -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 9 * * 1-5", True),
        ("0 0 9 * * * 2027", True),
        ("@daily", True),
        ("@every 5m", True),
        ("every 30m", True),
        ("at 2026-12-01T09:00", True),
        ("brief", False),
        ("morning brief", False),
        ("send me the morning brief", False),
        ("cfg:brief", False),
    ],
)
def test_a_schedule_is_told_from_the_name_of_a_job(text: str, expected: bool) -> None:
    assert is_expression(text) is expected


def test_an_expression_is_explained_without_gateway_config_and_store(
    engine: Engine, nobody: None, home: Path
) -> None:
    answer = engine(
        *("cron", "explain", "30 2 * * *", "--tz", "America/New_York"),
        *("--from", "2026-03-07T12:00", "--count", 2),
    )
    assert answer.status == 0
    assert answer.err == ""
    assert answer.out == (
        "At 02:30 every day, America/New_York time.\n"
        "\n"
        "  minute        30  30\n"
        "  hour          2   02\n"
        "  day of month  *   every day\n"
        "  month         *   every month\n"
        "  day of week   *   any day of the week\n"
        "\n"
        "Next  America/New_York                UTC\n"
        "      Sun 2026-03-08 03:00:00 -04:00  Sun 2026-03-08 07:00:00 +00:00"
        "  (02:30 does not exist that day: it runs when the clocks change)\n"
        "      Mon 2026-03-09 02:30:00 -04:00  Mon 2026-03-09 06:30:00 +00:00\n"
        "\n"
        "Runs per day: 1 on average, 1 at most.\n"
        "\n"
        "Notes:\n"
        "  - Sunday 8 March 2026: the clocks go from 02:00 to 03:00; 02:30 does not exist that day"
        " and runs at 03:00.\n"
    )
    assert not (home / ".engine" / "state.db").exists()


def test_it_speaks_chinese(engine: Engine, nobody: None) -> None:
    answer = engine("cron", "explain", "0 9 * * 1-5", "--tz", "Europe/Berlin", "--lang", "zh")
    assert answer.out.startswith("工作日（周一至周五）09:00，欧洲/柏林时间\n")


def test_a_schedule_without_a_zone_is_explained_in_the_one_jobs_have_here(
    engine: Engine, home: Path
) -> None:
    config = home / ".engine" / "engine.json"
    config.parent.mkdir(exist_ok=True)
    config.write_text('{agents: {defaults: {userTimezone: "Asia/Shanghai"}}}')
    for wish in ("0 9 * * 1-5", "every weekday at 9"):
        assert json.loads(engine("cron", "explain", wish, "--json").out)["tz"] == "Asia/Shanghai"
    config.write_text('{cron: {tz: "America/New_York"}}')
    told = engine("cron", "explain", "0 9 * * 1-5", "--json")
    assert json.loads(told.out)["tz"] == "America/New_York"


@pytest.mark.parametrize(
    ("text", "more", "sentence", "note"),
    [
        ("every weekday at 9", (), "At 09:00 on weekdays (Monday to Friday), UTC.", "“9”"),
        ("mondays at 6pm", (), "At 18:00 on Mondays, UTC.", ""),
        ("工作日早上9点", (), "工作日（周一至周五）09:00，UTC时间", "工作日按周一至周五"),
        ("工作日早上9点", ("--lang", "en"), "At 09:00 on weekdays (Monday to Friday), UTC", "need"),
        ("every day at 9", ("--lang", "zh"), "每天09:00，UTC时间", "没有说上午或下午"),
    ],
)
def test_words_are_explained_as_they_would_be_saved(
    engine: Engine, nobody: None, text: str, more: tuple[str, ...], sentence: str, note: str
) -> None:
    answer = engine("cron", "explain", text, "--tz", "UTC", *more)
    assert (answer.status, answer.err) == (0, "")
    assert answer.out.startswith(sentence)
    assert note in answer.out


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("every weekday at 9 or so", "“or so” means nothing here"),
        ("每天25点", "“25点”不是有效的时刻"),
        ("mondays brief", "unknown cron job id: mondays brief"),
        ("晨报", "unknown cron job id: 晨报"),
    ],
)
def test_words_that_are_neither_a_job_nor_understood_are_refused_as_what_they_look_like(
    engine: Engine, nobody: None, stored: Path, text: str, refusal: str
) -> None:
    answer = engine("cron", "explain", text)
    assert answer.status != 0
    assert refusal in answer.err


def test_an_explanation_is_json_too(engine: Engine, nobody: None) -> None:
    found = told(engine("cron", "explain", "every 30m", "--json", "--count", 1))
    assert found["schedule"]["everyMs"] == 1_800_000
    assert found["runsPerDay"] == {"mean": 48.0, "max": 48}
    assert len(found["occurrences"]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("0 25 * * *",), '"25" is out of range'),
        (("0 0 31 2 *",), "would never fire"),
        (("0 9 * * *", "--tz", "Mars/Base"), "Mars/Base"),
        (("0 9 * * *", "--other-tz", "Mars/Base"), "Mars/Base"),
        (("0 9 * * *", "--count", "0"), "--count"),
        (("0 9 * * *", "--lang", "fr"), "--lang"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_a_reason(
    engine: Engine, nobody: None, words: tuple[str, ...], said: str
) -> None:
    answer = engine("cron", "explain", *words)
    assert answer.status != 0
    assert said in answer.err


def test_a_job_is_explained_by_the_gateway(engine: Engine, gateway: Port) -> None:
    found = told(engine("cron", "explain", "brief", "--tz", "Asia/Tokyo", "--json"))
    assert found["sentence"] == "At 09:00 every day, UTC."
    _, asked = next(one for one in gateway.core.said if one[0] == "explain")
    assert asked == {"id": "brief", "otherTz": "Asia/Tokyo", "lang": "en", "count": 5}


def test_a_job_is_explained_from_the_store_while_no_gateway_runs(
    engine: Engine, nobody: None, stored: Path
) -> None:
    answer = engine("cron", "explain", "morning brief", "--count", 1)
    assert answer.status == 0
    assert answer.out.startswith(
        "morning brief (brief)\nAt 02:30 every day, America/New_York time.\n"
    )
    assert "answered from the store (~/.engine/state.db)" in answer.err


def test_a_job_nobody_knows_is_no_job(engine: Engine, nobody: None, stored: Path) -> None:
    answer = engine("cron", "explain", "nobody")
    assert answer.status == 6
    assert "unknown cron job id: nobody" in answer.err


# -- next ----------------------------------------------------------------------------------------


def test_the_next_slots_of_a_job_look_like_those_of_an_expression(
    engine: Engine, nobody: None, stored: Path
) -> None:
    begin = ("--from", "2026-03-07T12:00", "--count", "2")
    of_job = engine("cron", "next", "brief", *begin)
    of_expression = engine("cron", "next", "30 2 * * *", "--tz", "America/New_York", *begin)
    assert of_job.out.replace("02:30 does", "02:30:00 does") == of_expression.out
    assert told(engine("cron", "next", "brief", *begin, "--json")) == {
        "slots": ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]
    }


def test_the_slots_of_a_job_may_end_at_an_instant(
    engine: Engine, nobody: None, stored: Path
) -> None:
    words = ("--from", "2026-04-01", "--until", "2026-04-04", "--json")
    assert len(told(engine("cron", "next", "brief", *words))["slots"]) == 3


@pytest.mark.parametrize("words", [("--tz", "UTC"), ("--count", "0"), ("--count", "many")])
def test_the_slots_of_a_job_have_its_zone_and_a_sane_number(
    engine: Engine, nobody: None, stored: Path, words: tuple[str, ...]
) -> None:
    answer = engine("cron", "next", "brief", *words)
    assert answer.status == 2
    assert words[0] in answer.err


def test_the_quick_way_is_for_expressions_only(
    nobody: None, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["brief", "--count", "1"], ["0 9 * * *"], ["0", "9", "*", "*", "*"]):
        with pytest.raises(SystemExit) as end:
            main(["cron", "next", *words])
        assert end.value.code == 0, capsys.readouterr()


# -- timeline ------------------------------------------------------------------------------------


def test_the_timeline_is_drawn_from_the_store_while_no_gateway_runs(
    engine: Engine, nobody: None, stored: Path, home: Path
) -> None:
    config = {
        "agents": {"defaults": {"heartbeat": {"activeHours": {"start": "08:00", "end": "20:00"}}}}
    }
    (home / ".engine" / "engine.json").write_text(json.dumps(config))
    answer = engine("cron", "timeline")
    assert answer.status == 0
    drawn = answer.out.splitlines()
    assert "A sign is 30 minutes." in drawn[0]
    rows = {line[:16].strip(): line[16:] for line in drawn[3:7]}
    assert list(rows) == ["hourly", "morning brief", "beats of main", "main is active"]
    assert rows["hourly"].count("•") == 24
    assert rows["main is active"].count("━") in (24, 25)
    assert "answered from the store" in answer.err


def test_the_timeline_is_drawn_in_ascii_where_that_is_asked_for(
    engine: Engine, nobody: None, stored: Path
) -> None:
    answer = engine("cron", "timeline", "--ascii", "--hours", 48)
    assert answer.out.isascii()
    assert "A sign is 1 hour." in answer.out


def test_the_timeline_is_json_too(engine: Engine, nobody: None, stored: Path) -> None:
    found = told(engine("cron", "timeline", "--hours", 2, "--json"))
    assert [job["jobId"] for job in found["jobs"]] == ["hourly", "brief", "heartbeat:main"]
    assert found["untilMs"] - found["fromMs"] == 7_200_000


def test_the_timeline_of_a_running_gateway_is_asked_of_it(engine: Engine, gateway: Port) -> None:
    answer = engine("cron", "timeline", "--json", "--hours", 12)
    assert told(answer)["jobs"] == []
    _, asked = next(one for one in gateway.core.said if one[0] == "timeline")
    assert (asked["hours"], asked["cellMinutes"]) == (12, 15)


def test_an_empty_home_has_an_empty_timeline(engine: Engine, nobody: None) -> None:
    answer = engine("cron", "timeline")
    assert answer.status == 0
    assert "Nothing is switched on." in answer.out


# -- audit ---------------------------------------------------------------------------------------


def test_a_ledger_without_a_hole_passes(engine: Engine, nobody: None, stored: Path) -> None:
    answer = engine("cron", "audit")
    assert answer.status == 0
    assert answer.out.startswith("24 slots of 2 jobs and 1 heartbeat since ")
    assert "every one is on record." in answer.out
    assert "hourly: audited from" in answer.out
    assert "Rows are kept since" in answer.out


def test_a_row_deleted_by_hand_is_a_hole_and_the_status_says_so(
    engine: Engine, nobody: None, stored: Path
) -> None:
    with closing(sqlite3.connect(stored)) as db:
        db.execute("DELETE FROM runs WHERE id = 'r-0007'")
        db.commit()
    answer = engine("cron", "audit", "--since", "2d")
    assert answer.status == 1
    gone = (DAY_AGO + 7 * HOUR).strftime("%Y-%m-%d %H:%M")
    assert f"HOLE       hourly: no row for {gone}\n" in answer.out
    found = told(engine("cron", "audit", "--json"))
    assert (found["ok"], found["missing"]) == (False, 1)
    assert engine("cron", "audit", "brief").status == 0
    assert engine("cron", "audit", "hourly").status == 1


def test_an_audit_may_begin_at_an_instant(engine: Engine, nobody: None, stored: Path) -> None:
    since = (NOW - 3 * HOUR).strftime("%Y-%m-%dT%H:%M")
    assert told(engine("cron", "audit", "--since", since, "--json"))["expected"] == 4


@pytest.mark.parametrize(
    ("words", "status"),
    [(("--since", "soon"), 2), (("--since", "2099-01-01"), 2), (("nobody",), 6)],
)
def test_an_audit_of_nothing_known_is_refused_and_not_taken_for_a_hole(
    engine: Engine, nobody: None, stored: Path, words: tuple[str, ...], status: int
) -> None:
    assert engine("cron", "audit", *words).status == status
