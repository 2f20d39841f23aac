"""The verbs of a service where launchd runs them (operations.md §8.3, §8.4): a stand-in for it."""

from __future__ import annotations

import os
import plistlib
from dataclasses import replace
from pathlib import Path

import pytest

from engine.cli.place import Place, place
from engine.cli.service import Service, find, manager_of, name_of
from gateway.service import agent
from gateway.service.host import ServiceFault

SCRIPT = """#!/bin/sh
echo "$@" >> "$LAUNCHD/calls"
case "$1" in
  print) [ -e "$LAUNCHD/loaded" ] || [ "$2" = "gui/$(id -u)" ] || exit 113
         printf '\\tstate = running\\n\\tpid = 4242\\n\\truns = 3\\n\\tlast exit code = 78\\n';;
  bootstrap) touch "$LAUNCHD/loaded";;
  bootout) [ -e "$LAUNCHD/loaded" ] || exit 3; rm "$LAUNCHD/loaded";;
  kickstart) [ -e "$LAUNCHD/broken" ] && { echo "Operation not permitted" >&2; exit 1; }; exit 0;;
esac
"""
HERE = f"gui/{os.getuid()}"
NAME = f"{HERE}/ai.engine.gateway"


@pytest.fixture
def mac(tmp_path: Path) -> Place:
    script = tmp_path / "bin" / "launchctl"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    script.chmod(0o755)
    environ = {"HOME": str(tmp_path), "LAUNCHD": str(tmp_path)}
    path = f"{script.parent}:/usr/bin:/bin"
    return replace(place(environ={**environ, "PATH": path}), platform="darwin")


def service(mac: Place) -> Service:
    manager = manager_of(mac)
    return Service(place=mac, manager=manager, name=name_of(mac, manager))


def calls(mac: Place) -> list[str]:
    file = mac.paths.os_home / "calls"
    told = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [line for line in told if not line.startswith("print")]


def test_every_verb_has_its_word(mac: Place) -> None:
    one = service(mac)
    file = str(one.file)
    assert file.endswith("Library/LaunchAgents/ai.engine.gateway.plist")
    assert find(mac) is None
    one.file.parent.mkdir(parents=True)
    one.file.write_text(agent_text())
    assert find(mac) is not None
    assert one.manager.missing() is None
    one.manager.install(one.name, one.file)
    assert calls(mac) == [f"bootout {NAME}", f"bootstrap {HERE} {file}"]
    one.manager.start(one.name, one.file)
    one.manager.restart(one.name, one.file)
    assert calls(mac) == [f"kickstart {NAME}", f"kickstart -k {NAME}"]
    run = one.manager.runtime(one.name)
    assert (run.running, run.pid, run.last_exit, run.restarts) == (True, 4242, 78, 2)
    one.manager.stop(one.name)
    assert not one.manager.runtime(one.name).loaded
    one.manager.start(one.name, one.file)
    assert calls(mac) == [f"bootout {NAME}", f"bootstrap {HERE} {file}"]
    one.manager.remove(one.name, one.file)
    assert calls(mac) == [f"bootout {NAME}"]
    assert not one.file.exists()


def test_what_launchd_refuses_is_said_in_its_words(mac: Place) -> None:
    one = service(mac)
    (mac.paths.os_home / "loaded").touch()
    (mac.paths.os_home / "broken").touch()
    with pytest.raises(ServiceFault, match="Operation not permitted"):
        one.manager.restart(one.name, one.file)


def agent_text() -> str:
    return agent.text(
        profile="default",
        version="0.1.0",
        command=["/usr/bin/python3", "-m", "engine", "gateway", "run"],
        folder=Path("/Users/ann"),
        logs=Path("/Users/ann/.engine/logs"),
        environment={"ENGINE_SERVICE_MARKER": "engine", "ENGINE_GATEWAY_PORT": "18789"},
    )


def test_a_property_list_is_read_back_as_it_was_written() -> None:
    told = plistlib.loads(agent_text().encode())
    assert (told["KeepAlive"], told["ThrottleInterval"], told["Umask"]) == (True, 5, 0o077)
    command, environ = agent.said_by(agent_text())
    assert command[-2:] == ["gateway", "run"]
    assert environ["ENGINE_GATEWAY_PORT"] == "18789"
    assert agent.said_by("no list") == ([], {})
