"""`engine logs` as a person types it (operations.md §11, L6)."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.cli.ask import Line
from engine.cli.logs.commands import Paper, Reader
from engine.cli.logs.source import Source
from engine.cli.place import place
from engine.clock import SystemClock
from engine.log.reading import Sieve
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine


def line(msg: str, level: str = "info", **more: Any) -> str:
    said = {"ts": "2026-03-02T12:00:00+00:00", "level": level, "subsystem": "gateway.app"}
    return json.dumps(said | {"msg": msg} | more)


@pytest.fixture
def log(home: Path) -> Path:
    folder = home / ".engine" / "logs"
    folder.mkdir()
    path = folder / "engine-2026-03-02.log"
    path.write_text(f"{line('ready')}\n{line('refused', 'warn', peer='::1', jobId='brief')}\n")
    return path


def test_with_the_gateway_down_the_file_is_read_and_that_is_said(engine: Engine, log: Path) -> None:
    told = engine("logs")
    assert told.status == 0
    assert told.out == (
        "2026-03-02T12:00:00+00:00 info  [gateway.app] ready\n"
        "2026-03-02T12:00:00+00:00 warn  [gateway.app] refused peer=::1 jobId=brief\n"
    )
    assert "gateway is not running" in told.err or "nothing listens" in told.err
    assert told.err.endswith("Reading the file instead.\n")


def test_a_wrong_token_keeps_nobody_from_the_log(engine: Engine, log: Path, gateway: Port) -> None:
    told = engine("logs", "--token", "a-wrong-token", "--limit", "1")
    assert told.status == 0
    assert told.out.endswith("refused peer=::1 jobId=brief\n")
    assert "token mismatch" in told.err


def test_a_gateway_elsewhere_that_does_not_answer_is_no_reason_to_show_our_own_log(
    engine: Engine, log: Path
) -> None:
    told = engine("logs", "--url", "ws://127.0.0.1:9")
    assert (told.status, told.out) == (3, "")


def test_records_go_to_programs_unchanged_between_lines_about_them(
    engine: Engine, log: Path
) -> None:
    meta, *records = engine("logs", "--json").out.splitlines()
    assert json.loads(meta)["type"] == "meta"
    assert json.loads(meta)["source"] == "file"
    assert records == log.read_text().splitlines()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--level", "warn"), ["refused"]),
        (("--grep", "READY"), ["ready"]),
        (("--subsystem", "app", "--limit", "1"), ["refused"]),
        (("--subsystem", "sender"), []),
        (("--job", "brief"), ["refused"]),
        (("--agent", "main"), []),
        (("--since", "2026-03-02T13:00"), []),
        (("--since", "2026-03-02T12:00"), ["ready", "refused"]),
    ],
)
def test_only_what_is_asked_for_is_shown(
    engine: Engine, log: Path, words: tuple[str, ...], shown: list[str]
) -> None:
    _, *records = engine("logs", "--json", *words).out.splitlines()
    assert [json.loads(one)["msg"] for one in records] == shown


def test_times_of_this_machine_are_told_to_the_second(
    engine: Engine, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    told = engine("logs", "--local-time", "--grep", "ready").out
    assert told == "03-02 20:00:00 info  [gateway.app] ready\n"


@pytest.mark.parametrize("words", [("--grep", "(["), ("--since", "yesterday-ish")])
def test_what_is_not_understood_is_said(engine: Engine, log: Path, words: tuple[str, ...]) -> None:
    assert engine("logs", *words).status == 2


def test_before_there_is_a_log_the_next_command_is_named(engine: Engine) -> None:
    told = engine("logs")
    assert told.status == 6
    assert "Fix: engine gateway" in told.err


def test_without_a_service_its_log_is_nowhere(engine: Engine) -> None:
    told = engine("logs", "--service")
    assert told.status == 6
    assert "no service of this machine" in told.err


def test_who_follows_sees_every_line_over_midnight_and_a_restart(
    home: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Line(place=place(), as_json=True)
    reader = Reader(
        Source(whole, timedelta(seconds=1)),
        Paper(whole, no_colour=True, local_time=False),
        Sieve(),
        limit=1,
        most=10_000,
    )
    reader.begin()
    with log.open("a") as more:
        more.write(f"{line('stopping')}\n")
    log.with_name("engine-2026-03-03.log").write_text(f"{line('ready again')}\n")
    reader.step()
    reader.step()
    said = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert [one["msg"] for one in said if "msg" in one] == ["refused", "stopping", "ready again"]


def test_a_span_is_counted_from_now(engine: Engine, log: Path) -> None:
    now = SystemClock().now()
    with log.open("a") as more:
        more.write(f"{json.dumps({'ts': now.isoformat(), 'level': 'info', 'msg': 'new'})}\n")
    _, *records = engine("logs", "--json", "--since", "30m").out.splitlines()
    assert [json.loads(one)["msg"] for one in records] == ["new"]
