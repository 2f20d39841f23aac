"""`--force`: who holds the port is named and asked to end (operations.md §6.5)."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.cli.gateway import force
from engine.cli.gateway.force import Holder, ended, holders
from engine.cli.place import Place, place
from jobs.errors import OwnershipRefused

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux tells by /proc")

LISTENS = """
import signal, socket, sys
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
held = socket.create_server(("127.0.0.1", 0))
print(held.getsockname()[1], flush=True)
signal.pause()
"""


@contextmanager
def listener(*words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds a port."""
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENS, *words], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


@pytest.fixture
def at(tmp_path: Path) -> Place:
    return place(environ={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


def test_a_free_port_costs_nobody_anything(at: Place) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert ended(at, free.getsockname()[1], kill=True) == ()
    assert holders(0, {}) == []


def test_who_holds_the_port_is_named_and_asked_to_end(
    at: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with listener() as (process, port):
        (done,) = ended(at, port, kill=False)
        assert process.wait(5) == -15
    assert done.startswith(f"ended to free port {port}: pid {process.pid} (")
    assert f"port {port} is held by pid {process.pid}" in capsys.readouterr().err


def test_a_stranger_who_does_not_end_is_killed_only_if_that_was_said(
    at: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(force, "PATIENCE", 0.1)
    with listener("deaf") as (process, port):
        with pytest.raises(OwnershipRefused, match="--force --kill") as refused:
            ended(at, port, kill=False)
        assert refused.value.exit_status == 78
        assert process.poll() is None
        (done,) = ended(at, port, kill=True)
        assert done.startswith("killed to free port")
        assert process.wait(5) == -9


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("/usr/bin/python3 -m engine gateway run --port 1", True),
        ("/home/ann/.local/bin/engine gateway", True),
        ("node server.js gateway", False),
        ("engine chat", False),
    ],
)
def test_a_gateway_of_ours_is_known_by_its_call(command: str, ours: bool) -> None:
    assert Holder(pid=os.getpid(), user="ann", command=command).ours is ours
