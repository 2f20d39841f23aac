"""`engine status --all`: it ends, it fits, and it tells nobody's secret (operations.md §9.6)."""

from __future__ import annotations

import json
import socket
import zipfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from engine.cli.ask import Line
from engine.cli.place import place
from engine.cli.status import paste
from tests.fakes.gateway_port import TOKEN, Port
from tests.unit.engine.cli.conftest import Engine

SECRET = "123456789:AAE-planted_secret-of_a_bot"
CONFIG = {
    "gateway": {"mode": "local", "auth": {"token": "planted-token-of-the-gateway"}},
    "channels": {"telegram": {"botToken": SECRET, "allowFrom": ["4491761234567"]}},
}


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no row that hangs."""
    monkeypatch.setattr(paste, "BUDGET", timedelta(seconds=15))


@pytest.fixture
def lived(home: Path) -> Path:
    """A home with secrets in every file that is read."""
    state = home / ".engine"
    (state / "engine.json").write_text(json.dumps(CONFIG))
    (state / "logs").mkdir()
    said = f"bot {SECRET} of 4491761234567 at {home} on {socket.gethostname()} was refused"
    row = {"ts": "2026-03-02T12:00:00+00:00", "level": "error", "subsystem": "x", "msg": said}
    (state / "logs" / "engine-2026-03-02.log").write_text(f"{json.dumps(row)}\n")
    return state


def fits(text: str) -> None:
    lines = text.splitlines()
    assert lines[-1] == "Pasteable debug report. Auth tokens redacted."
    assert max(map(len, lines)) <= 100
    assert not set("─│┌→—…✓✗") & set(text)


@pytest.mark.usefixtures("nobody")
def test_it_is_whole_without_a_gateway_and_holds_no_secret(
    engine: Engine, lived: Path, home: Path
) -> None:
    told = engine("status", "--all")
    assert told.status == 0
    fits(told.out)
    for planted in (SECRET, "planted-token", "4491761234567", str(home)):
        assert planted not in told.out
    assert "was refused" in " ".join(told.out.split())  # of the log
    assert "error gateway.unreachable" in told.out  # of the doctor
    assert f" {socket.gethostname()} " not in told.out


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("text", ["{ gateway: ", "{ gatway: {} }", ""])
def test_it_is_whole_with_a_config_nobody_can_use(engine: Engine, home: Path, text: str) -> None:
    (home / ".engine" / "engine.json").write_text(text)
    told = engine("status", "--all")
    assert told.status == 0
    fits(told.out)


def test_it_tells_of_a_gateway_that_runs(engine: Engine, gateway: Port) -> None:
    told = engine("status", "--all")
    fits(told.out)
    assert "Connectivity probe: ok (" in told.out
    assert TOKEN not in told.out


@pytest.mark.usefixtures("nobody")
def test_it_is_written_to_a_file_or_packed_with_the_log(
    engine: Engine, lived: Path, tmp_path: Path
) -> None:
    packed, written = tmp_path / "x.zip", tmp_path / "x.txt"
    assert engine("status", "--all", "--out", written).out == ""
    fits(written.read_text())
    assert engine("status", "--zip", packed).status == 0
    with zipfile.ZipFile(packed) as bundle:
        assert bundle.namelist() == ["status.txt", "logs/engine-2026-03-02.log"]
        log = bundle.read("logs/engine-2026-03-02.log").decode()
    assert "was refused" in log
    assert SECRET not in log


def test_a_row_that_hangs_is_told_and_holds_nobody_up(home: Path) -> None:
    never = Event()

    def hangs(_line: Line) -> Sequence[str]:
        never.wait(30)
        return []

    def breaks(_line: Line) -> Sequence[str]:
        raise ValueError("no")

    rows = {"Hangs": hangs, "Breaks": breaks, "Works": lambda _line: ["it works"]}
    found = paste.gathered(Line(place=place()), rows, budget=timedelta(milliseconds=50))
    never.set()
    assert found["Hangs"] == ["timed out"]
    assert found["Breaks"] == ["could not be looked at: no"]
    assert found["Works"] == ["it works"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("to 4491761234567", "to 44...67"),
        ("c2c 989E60AABBCCDDEEFF0011223344", "c2c 98...44"),
        ("port 18789, pid 4242, 2026-03-02 12:00", "port 18789, pid 4242, 2026-03-02 12:00"),
        ("王小明 → 42", "王小明 -> 42"),
    ],
)
def test_people_are_shortened_and_numbers_of_ours_are_not(
    home: Path, text: str, shown: str
) -> None:
    assert paste.hider(place())(text) == shown
