"""`engine cron next`: slots without a gateway, for people and for programs."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from engine.cli.cron.next import MOST, run

NEW_YORK = ["--tz", "America/New_York"]


@pytest.fixture(autouse=True)
def utc_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


def slots(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert run([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["slots"]
    found = answer["slots"]
    assert isinstance(found, list)
    return found


def test_people_read_local_time_utc_and_what_the_clocks_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["30 2 * * *", *NEW_YORK, "--from", "2026-03-07T12:00", "--count", "2"]) == 0
    assert capsys.readouterr().out == (
        "2026-03-08 03:00:00 -04:00 Sun  2026-03-08T07:00:00Z"
        "  (02:30:00 does not exist that day: it runs when the clocks change)\n"
        "2026-03-09 02:30:00 -04:00 Mon  2026-03-09T06:30:00Z\n"
    )


def test_an_hour_that_comes_twice_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["0 * * * *", *NEW_YORK, "--from", "2026-11-01T04:59:00Z", "--count=2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("(the first of two: the clocks go back)")
    assert second.endswith("(the second of two: the clocks go back)")


def test_programs_read_utc_instants(capsys: pytest.CaptureFixture[str]) -> None:
    found = slots(capsys, "30 1 * * *", *NEW_YORK, "--from=2026-10-31T12:00", "--count", "2")
    assert found == ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]


def test_five_slots_from_now_in_the_zone_of_the_host_unless_asked_otherwise(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    found = slots(capsys, "0 8 * * *")
    assert len(found) == 5
    assert all(slot.endswith("T00:00:00Z") for slot in found)


def test_until_is_included(capsys: pytest.CaptureFixture[str]) -> None:
    found = slots(capsys, "* * * * *", "--from", "2026-01-01", "--until", "2026-01-01T00:07:00")
    assert (len(found), found[-1]) == (7, "2026-01-01T00:07:00Z")


def test_until_may_be_cut_by_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["* * * * *", "--from", "2026-01-01", "--until", "2027-01-01"]
    assert len(slots(capsys, *words, "--count", "3")) == 3
    assert len(slots(capsys, *words)) == MOST


def test_a_cadence_is_counted_from_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    found = slots(capsys, "@every 5m", "--from", "2026-01-01", "--count", "2")
    assert found == ["2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"]


def test_an_expression_may_be_written_without_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    found = slots(capsys, "0", "9", "1", "1", "?", "--from", "2026-01-01", "--count", "1")
    assert found == ["2026-01-01T09:00:00Z"]


def test_wraps_and_two_day_fields_are_worth_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["0 9 15 * fri-mon", "--count", "1"]) == 0
    note = capsys.readouterr().err
    assert "fri-mon runs past the end and wraps around" in note
    assert "a day that matches either is a match" in note


REFUSED = {
    "range": (["0 25 * * *"], 'hour: "25" is out of range 0–23 (field 2 of "0 25 * * *")'),
    "never": (["0 0 31 2 *"], "would never fire"),
    "past": (["0 0 9 1 1 * 2020"], "would never fire"),
    "zone": (["* * * * *", "--tz", "Mars/Base"], "Invalid timezone"),
    "from": (["* * * * *", "--from", "someday"], "from 'someday' was refused: it is no instant"),
    "gap": (["* * * * *", *NEW_YORK, "--from", "2026-03-08T02:30"], "does not exist in"),
    "count": (["* * * * *", "--count", "0"], "count '0' was refused"),
    "option": (["* * * * *", "--when"], "has no option --when"),
    "value": (["* * * * *", "--tz"], "--tz needs a value"),
    "nothing": ([], "needs an expression"),
    "blank": ([" "], "there is no expression"),
    "job": (["morning-brief"], '"morning-brief" is no cron expression'),
}


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_ends_with_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


def test_a_refusal_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["0 25 * * *", "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["error"]["code"] == "invalid-schedule"
    assert "out of range" in answer["error"]["message"]


def ask(
    lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    assert run(["-"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_line_of_json_has_one_line_of_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = ask(
        [
            (
                '{"expr": "0 9 * * *", "tz": "Asia/Shanghai", "from": "2026-03-01T00:00:00Z",'
                ' "until": null, "count": 1}'
            ),
            "",
            (
                '{"expr": "* * * * *", "tz": "UTC", "from": 1767225600000,'
                ' "until": "2026-01-01T00:02:00Z"}'
            ),
            '{"expr": "0 25 * * *"}',
        ],
        monkeypatch,
        capsys,
    )
    assert answers[:2] == [
        {"slots": ["2026-03-01T01:00:00Z"]},
        {"slots": ["2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"]},
    ]
    assert list(answers[2]) == ["error"]
    assert "out of range" in answers[2]["error"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nope", "the line is not JSON"),
        ("[1]", "the line is not a JSON object"),
        ("{}", "there is no expression"),
        ('{"expr": 5}', "expr must be a text"),
        ('{"expr": "* * * * *", "zone": "UTC"}', "unknown key 'zone'"),
        ('{"expr": "* * * * *", "count": 1.5}', "count '1.5' was refused"),
        ('{"expr": "* * * * *", "count": true}', "count 'True' was refused"),
        ('{"expr": "* * * * *", "from": true}', "from must be a text"),
        ('{"expr": "* * * * *", "from": "soon"}', "from 'soon' was refused: it is no instant"),
        ('{"expr": "* * * * *", "from": "0001-01-02"}', "not within the years 1970 to 9799"),
        ('{"expr": "* * * * *", "from": -62135596800000}', "was refused"),
        ('{"expr": "* * * * *", "until": "9999-12-31T23:59Z"}', "not within the years"),
        ('{"expr": "* * * * *", "from": "' + "9" * 5000 + '"}', "was refused"),
        ('{"expr": "* * * * *", "count": "' + "9" * 5000 + '"}', "was refused"),
        ("[" * 100_000, "the line is not JSON"),
        ('{"expr": "\\ud800"}', "no cron expression"),
    ],
)
def test_a_bad_line_is_answered_and_the_next_one_too(
    line: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = ask([line, '{"expr": "* * * * *", "count": 1}'], monkeypatch, capsys)
    assert message in bad["error"]
    assert len(good["slots"]) == 1


def test_options_hold_for_lines_that_do_not_say_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['{"expr": "0 0 * * *"}', '{"expr": "0 0 * * *", "tz": "UTC", "count": 1}']
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert run(["-", "--tz", "Asia/Tokyo", "--from", "2026-01-01T12:00Z", "--count", "2"]) == 0
    tokyo, utc = capsys.readouterr().out.splitlines()
    assert json.loads(tokyo) == {"slots": ["2026-01-01T15:00:00Z", "2026-01-02T15:00:00Z"]}
    assert json.loads(utc) == {"slots": ["2026-01-02T00:00:00Z"]}


def test_bytes_that_are_no_text_are_a_bad_line_and_half_a_letter_can_be_quoted() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine", "cron", "next", "-"],
        input=b'\xff\xfe\n{"expr": "\\ud800 * * * *"}\n{"expr": "* * * * *", "count": 1}\n',
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=True,
    )
    bad, half, good = done.stdout.splitlines()
    assert b"not JSON" in bad
    assert b"cannot be read" in half
    assert b"slots" in good


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "engine", "cron", "next", "* * * * *", "--count", "9000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 0
        assert process.stderr.read() == b""


def test_it_loads_nothing_heavy() -> None:
    program = (
        "import sys; from engine.cli.cron.next import run; run(['*/5 9-17 * * mon-fri']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stderr.decode().split()}
    heavy = {"click", "pydantic", "sqlalchemy", "rich", "asyncio", "croniter", "websockets"}
    assert not loaded & heavy


def test_words_are_told_where_they_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["every weekday at 9"]) == 2
    assert 'Fix: engine cron explain "every weekday at 9"' in capsys.readouterr().err
