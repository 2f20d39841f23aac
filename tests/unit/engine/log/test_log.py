"""The log: what is written, where, how loud, and what is hidden (operations.md §11)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.log.files import DayFile, Place, files, placed
from engine.log.lines import Console, JsonLines
from engine.log.setup import Log, Wish, set_up

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def record(
    words: str = "said", at: datetime = NOON, level: int = logging.INFO, **extra: Any
) -> logging.LogRecord:
    made = logging.LogRecord("gateway.channels.telegram", level, "x.py", 1, words, (), None)
    made.created = at.timestamp()
    made.__dict__.update(extra)
    return made


@pytest.fixture
def quiet() -> Iterator[None]:
    """Leave logging as it was found."""
    root = logging.getLogger()
    names = ("engine", "gateway", "jobs")
    before, levels = root.handlers[:], [logging.getLogger(n).level for n in names]
    least = root.level
    yield
    root.handlers[:] = before
    root.setLevel(least)
    for name, level in zip(names, levels, strict=True):
        logging.getLogger(name).setLevel(level)


def begun(folder: Path, environ: dict[str, str] | None = None, **wish: Any) -> Log:
    place = wish.pop("place", Place(folder=folder))
    return set_up(Wish(place=place, **wish), environ=environ or {}, boot_id="b1")


def lines(folder: Path) -> list[dict[str, Any]]:
    (path,) = files(Place(folder=folder))
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_line_has_the_fields_of_the_table_and_no_other_names() -> None:
    said = json.loads(
        JsonLines(boot_id="b1").format(
            record(agent="main", job_id="brief", run_id="r1", account="work", conn_id="c")
        )
    )
    assert said == {
        "ts": "2026-03-02T12:00:00.000+00:00",
        "level": "info",
        "subsystem": "gateway.channels.telegram",
        "msg": "said",
        "agentId": "main",
        "jobId": "brief",
        "runId": "r1",
        "accountId": "work",
        "connId": "c",
        "bootId": "b1",
    }


def test_a_traceback_is_the_err_of_its_line(tmp_path: Path, quiet: None) -> None:
    log = begun(tmp_path)
    try:
        raise RuntimeError("torn")
    except RuntimeError:
        logging.getLogger("engine.x").exception("it broke", extra={"part": "loop"})
    log.stop()
    (line,) = lines(tmp_path)
    assert (line["level"], line["msg"], line["part"]) == ("error", "it broke", "loop")
    assert line["err"].endswith("RuntimeError: torn")


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("pretty", "12:00:00 warn  [channels.telegram] said accountId=work"),
        ("compact", "12:00:00 warn  [channels.telegram] said"),
    ],
)
def test_the_console_shows_the_last_two_names_of_the_room(style: str, words: str) -> None:
    shown = Console(style=style).format(record(level=logging.WARNING, account="work"))
    assert shown == words


def test_colour_is_only_around_the_level() -> None:
    shown = Console(colour=True).format(record(level=logging.ERROR))
    assert shown == "12:00:00 \x1b[31merror\x1b[0m [channels.telegram] said"


def test_a_day_has_its_own_file_and_old_ones_go(tmp_path: Path) -> None:
    for day in ("2026-02-15", "2026-02-17", "2026-02-18"):
        (tmp_path / f"engine-{day}.log").write_text("old\n")
    (tmp_path / "engine-2026-02-16.log.1").write_text("old\n")
    (tmp_path / "launchd.out.log").write_text("not ours to delete\n")
    file = DayFile(Place(folder=tmp_path))
    file.emit(record(at=NOON))
    file.emit(record(at=NOON + timedelta(hours=12)))
    file.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "engine-2026-02-18.log",
        "engine-2026-03-02.log",
        "engine-2026-03-03.log",
        "launchd.out.log",
    ]
    assert (tmp_path / "engine-2026-03-03.log").stat().st_mode & 0o777 == 0o600


def test_a_file_that_grew_too_large_becomes_the_first_of_five(tmp_path: Path) -> None:
    file = DayFile(Place(folder=tmp_path, most_bytes=10))
    for number in range(8):
        file.emit(record(f"line {number}"))
    file.close()
    names = [path.name.removeprefix("engine-2026-03-02.") for path in files(Place(folder=tmp_path))]
    assert names == ["log.5", "log.4", "log.3", "log.2", "log.1", "log"]
    assert (tmp_path / "engine-2026-03-02.log").read_text() == "line 7\n"
    assert (tmp_path / "engine-2026-03-02.log.5").read_text() == "line 2\n"


@pytest.mark.parametrize(
    ("given", "path"),
    [(None, None), ("all.log", "/s/logs/all.log"), ("/x/y.log", "/x/y.log"), ("~/y", "/h/y")],
)
def test_one_file_may_lie_elsewhere(given: str | None, path: str | None) -> None:
    assert placed(Path("/s/logs"), given, Path("/h")) == (Path(path) if path else None)


def test_the_file_and_the_console_are_as_loud_as_each_was_asked_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: None
) -> None:
    log = begun(tmp_path, level="warn", console_level="debug")
    logging.getLogger("gateway.x").debug("aside")
    logging.getLogger("gateway.x").error("loud")
    log.stop()
    assert [line["msg"] for line in lines(tmp_path)] == ["loud"]
    assert "aside" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [False, True])
def test_verbose_is_for_the_console_and_never_for_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: None, verbose: bool
) -> None:
    log = begun(tmp_path, verbose=verbose)
    logging.getLogger("gateway.connection").debug("client connected")
    logging.getLogger("gateway.connection").info("ready")
    log.stop()
    assert ("client connected" in capsys.readouterr().err) is verbose
    assert [line["msg"] for line in lines(tmp_path)] == ["ready"]


def test_the_environment_beats_both_levels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: None
) -> None:
    log = begun(tmp_path, {"ENGINE_LOG_LEVEL": "Error"}, level="debug", console_level="debug")
    logging.getLogger("engine.x").warning("aside")
    logging.getLogger("engine.x").error("loud")
    log.stop()
    assert [line["msg"] for line in lines(tmp_path)] == ["loud"]
    assert "aside" not in capsys.readouterr().err


def test_a_level_that_is_none_is_left_aside_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: None
) -> None:
    begun(tmp_path, {"ENGINE_LOG_LEVEL": "debgu"}).stop()
    told = "ENGINE_LOG_LEVEL=debgu is no level and was left aside; did you mean debug?"
    assert told in capsys.readouterr().err


def test_silent_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: None) -> None:
    log = begun(tmp_path, level="silent", console_level="silent")
    logging.getLogger("engine.x").critical("the end")
    log.stop()
    assert capsys.readouterr().err == ""
    assert files(Place(folder=tmp_path)) == []


def test_a_json_console_prints_the_lines_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quiet: None
) -> None:
    log = begun(tmp_path, console_style="json")
    logging.getLogger("engine.x").info("once")
    log.stop()
    assert json.loads(capsys.readouterr().err) == lines(tmp_path)[0]


def test_another_config_holds_from_the_next_line_on(tmp_path: Path, quiet: None) -> None:
    log = begun(tmp_path)
    logging.getLogger("engine.x").info("here")
    elsewhere = Place(folder=tmp_path, file=tmp_path / "sub" / "all.log")
    log.adopt(Wish(place=elsewhere, level="error"))
    logging.getLogger("engine.x").info("nowhere")
    logging.getLogger("engine.x").error("there")
    log.stop()
    assert [line["msg"] for line in lines(tmp_path)] == ["here"]
    assert json.loads((tmp_path / "sub" / "all.log").read_text())["msg"] == "there"


def test_what_a_line_was_about_may_change_after_it_was_said(tmp_path: Path, quiet: None) -> None:
    log, about = begun(tmp_path), ["one"]
    logging.getLogger("engine.x").info("it is %s", about)
    about.append("two")
    log.stop()
    assert lines(tmp_path)[0]["msg"] == "it is ['one']"


def test_a_log_somebody_moved_away_is_begun_anew(tmp_path: Path, quiet: None) -> None:
    log = begun(tmp_path)
    logging.getLogger("engine.x").info("before")
    log.drain()
    (path,) = files(Place(folder=tmp_path))
    path.rename(tmp_path / "kept")
    log.reopen()
    logging.getLogger("engine.x").info("after")
    log.stop()
    assert [line["msg"] for line in lines(tmp_path)] == ["after"]


def test_a_gateway_that_starts_anew_in_place_writes_every_line_once(
    tmp_path: Path, quiet: None
) -> None:
    begun(tmp_path)
    second = begun(tmp_path)
    logging.getLogger("engine.x").info("once")
    second.stop()
    assert [line["msg"] for line in lines(tmp_path)] == ["once"]


def test_a_disk_that_refuses_the_log_is_told_once_and_stops_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "engine-2026-03-02.log"
    in_the_way.mkdir()
    file = DayFile(Place(folder=tmp_path))
    for _ in range(3):
        file.emit(record("lost"))
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith(f"the log in {tmp_path} is not written: ")
    in_the_way.rmdir()
    file.emit(record("kept"))
    assert in_the_way.read_text() == "kept\n"
    file.close()
