"""The gateway as a service, typed as an operator types it (operations.md §8).

The manager is a stand-in that runs what the unit says; the gateway is a real one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.cli.app import run
from gateway import exits, lock

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(90)]

ROOT = Path(__file__).parents[2]
NAME = "engine-gateway.service"


class Answer(NamedTuple):
    """How a command ended and what it printed."""

    status: int
    out: str
    err: str


class Host:
    """A machine of its own: a home, a manager, and the command line."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.home = folder / "ann"
        self.state = self.home / ".engine"
        self.manager = folder / "manager"
        binaries = folder / "bin"
        for place in (self.state, self.manager, binaries):
            place.mkdir(parents=True)
        systemctl = binaries / "systemctl"
        systemctl.write_text(
            f"#!{sys.executable}\n" + (ROOT / "tests/fakes/systemctl.py").read_text("utf-8")
        )
        self.engine = binaries / "engine"
        self.engine.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m engine "$@"\n')
        loginctl = binaries / "loginctl"
        loginctl.write_text('#!/bin/sh\n[ "$1" = show-user ] && echo no || exit 1\n')
        for script in (systemctl, loginctl, self.engine):
            script.chmod(0o755)
        self._capsys = capsys
        for name in [name for name in os.environ if name.startswith(("ENGINE_", "XDG_"))]:
            monkeypatch.delenv(name)
        environ = {
            "HOME": str(self.home),
            "PATH": f"{binaries}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "FAKE_SYSTEMD": str(self.manager),
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        (self.state / "engine.json").write_text('{ gateway: { mode: "local", port: 0 } }')

    @property
    def unit(self) -> Path:
        return self.home / ".config/systemd/user" / NAME

    def type(self, *words: str) -> Answer:
        self._capsys.readouterr()
        status = run(words)
        printed = self._capsys.readouterr()
        return Answer(status, printed.out, printed.err)

    def asked(self, *words: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = json.loads(self.type(*words, "--json").out)
        return answer


@pytest.fixture
def host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Host]:
    made = Host(tmp_path, monkeypatch, capsys)
    yield made
    owner = lock.read(made.state)
    if owner is not None:
        os.kill(owner.pid, signal.SIGKILL)


def test_from_install_to_uninstall_every_step_says_what_is_so(host: Host) -> None:
    nothing = host.type("gateway", "start")
    assert (nothing.status, nothing.err.splitlines()[0]) == (
        1,
        "not installed; run: engine gateway install",
    )

    install = ("gateway", "install", "--wrapper", str(host.engine), "--watch-config")
    installed = host.type(*install)
    assert installed.status == 0, installed.err
    assert "Verdict" in installed.out, "the status follows"
    watch = host.unit.with_suffix(".path")
    assert f"PathChanged={host.state / 'engine.json'}\nUnit={NAME}\n" in watch.read_text()
    assert f"started {NAME}, it is ready" in installed.out
    assert "Survives logout: NO, run: sudo loginctl enable-linger" in installed.err
    assert "TOKEN" not in host.unit.read_text()
    running = lock.read(host.state)
    assert running is not None

    again = host.type("gateway", "install", "--wrapper", str(host.engine))
    assert again.out.startswith("already installed: ")
    told = host.asked("gateway", "status")
    assert told["service"]["runtime"]["pid"] == running.pid
    assert told["service"]["runtime"]["enabled"]

    restarted = host.type("gateway", "restart")
    assert restarted.status == 0, restarted.err
    anew = lock.read(host.state)
    assert anew is not None
    assert anew.boot_id != running.boot_id

    stopped = host.type("gateway", "stop")
    assert stopped.status == 0, stopped.err
    assert "stopped by engine gateway stop" in stopped.out
    assert lock.read(host.state) is None
    assert host.asked("why")["fix"].startswith("engine gateway start")

    (host.state / "engine.json").write_text("{ gateway: { mod: 1 } }")
    (host.state / "engine.json.last-good").unlink()  # else that one would be taken
    refused = host.type("gateway", "start")
    assert refused.status == 3
    assert "refused to start with its config" in refused.err
    assert "Fix: engine config validate" in refused.err

    assert host.type("gateway", "uninstall").status == 0
    assert not host.unit.exists()
    assert not watch.exists()
    calls = (host.manager / "calls").read_text()
    assert f"disable --now {NAME}" in calls


def test_nothing_is_installed_over_a_config_that_cannot_start(host: Host) -> None:
    (host.state / "engine.json").write_text("{ gateway: { mod: 1 } }")
    refused = host.type("gateway", "install", "--wrapper", str(host.engine))
    assert refused.status == 78
    assert not host.unit.exists()


def test_without_a_manager_it_runs_in_the_background(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.engine.parent / "systemctl").unlink()
    monkeypatch.setenv("PATH", str(host.engine.parent))
    refused = host.type("gateway", "install", "--wrapper", str(host.engine))
    assert refused.status == 1
    assert "Fix: engine gateway start --detach" in refused.err
    offered = host.type("gateway", "start")
    assert offered.status == 1
    assert "Fix: engine gateway run, or in the background: engine gateway start --detach" in (
        offered.err
    )
    started = host.type("gateway", "start", "--detach")
    assert started.status == 0, started.err
    running = lock.read(host.state)
    assert running is not None
    assert (host.state / "gateway.pid").read_text() == f"{running.pid}\n"
    assert host.type("gateway", "stop").status == 0
    assert not (host.state / "gateway.pid").exists()
    ended = exits.read(host.state)
    assert ended is not None
    assert (ended.reason, ended.requested_by) == (
        exits.Reason.STOP_COMMAND,
        "engine gateway stop",
    )
