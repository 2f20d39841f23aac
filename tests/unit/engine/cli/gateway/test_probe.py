"""`engine gateway probe` and `discover`, as a person types them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.lock import Lock, Owner
from jobs.errors import StoreUnavailable
from tests.fakes.gateway_port import TOKEN, Port
from tests.unit.engine.cli.conftest import Engine


def test_a_gateway_that_answers_is_told_with_what_may_be_done_there(
    engine: Engine, gateway: Port
) -> None:
    told = engine("gateway", "probe", "--json")
    answer = json.loads(told.out)
    assert told.status == 0
    assert (answer["ok"], answer["degraded"], answer["capability"]) == (
        True,
        False,
        "admin-capable",
    )
    (target,) = answer["targets"]
    assert (target["id"], target["connect"]["rpcOk"]) == ("loopback", True)
    assert answer["primaryTargetId"] == "loopback"
    assert "Read probe: ok" in engine("gateway", "probe").out


def test_a_gateway_that_refuses_is_no_gateway_that_can_be_used(
    engine: Engine, gateway: Port
) -> None:
    told = engine("gateway", "probe", "--token", "wrong-wrong-wrong", "--json")
    answer = json.loads(told.out)
    assert (told.status, answer["ok"], answer["capability"]) == (1, False, "unknown")
    assert answer["targets"][0]["connect"]["error"]["code"] == "access-refused"
    assert "wrong-wrong-wrong" not in told.out


def test_one_gateway_seen_twice_is_one_gateway(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"ws://127.0.0.1:{gateway.server.port}"
    answer = json.loads(engine("gateway", "probe", "--url", other, "--json").out)
    assert answer["warnings"] == []


def test_who_gets_in_and_can_read_nothing_is_warned(
    engine: Engine, gateway: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> dict[str, Any]:
        raise StoreUnavailable("the state database cannot be reached", fix="start the server")

    monkeypatch.setattr(gateway.core, "status", away)
    told = engine("gateway", "probe", "--json")
    answer = json.loads(told.out)
    assert (told.status, answer["degraded"]) == (0, True)
    (warning,) = answer["warnings"]
    assert (warning["code"], warning["targetIds"]) == ("probe_read_failed", ["loopback"])
    assert "follow-up read diagnostics failed" in warning["message"]


def test_gateways_of_this_machine_are_found_by_their_homes(engine: Engine, home: Path) -> None:
    assert engine("gateway", "discover").out.startswith("No gateway runs on this machine")
    owner = Owner(pid=4711, started_at_ms=1_790_000_000_000, boot_id="b", version="1", port=19001)
    (home / ".engine-work").mkdir()
    with Lock(home / ".engine-work", owner):
        told = json.loads(engine("gateway", "discover", "--json").out)
        assert told["count"] == 1
        (found,) = told["beacons"]
        assert (found["url"], found["home"]) == ("ws://127.0.0.1:19001", str(home / ".engine-work"))
        assert "19001" in engine("gateway", "discover").out


SSH = """#!{python}
import os, socket, sys, threading
here, far = sys.argv[sys.argv.index("-L") + 1].split(":")[1::2]
def pump(one, other):
    while data := one.recv(65536):
        other.sendall(data)
with socket.create_server(("127.0.0.1", int(here))) as door:
    while True:
        near, _ = door.accept()
        there = socket.create_connection(("127.0.0.1", int(far)))
        for pair in ((near, there), (there, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()
"""


def ssh(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))


def test_a_gateway_behind_a_tunnel_is_probed_with_what_was_given_by_hand(
    engine: Engine, gateway: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh(tmp_path, SSH.format(python=sys.executable), monkeypatch)
    words = ("gateway", "probe", "--ssh", "ann@far", "--timeout", "15000", "--json")
    answer = json.loads(engine(*words, "--token", TOKEN).out)
    assert [(one["id"], one["connect"]["ok"]) for one in answer["targets"]] == [
        ("ssh", True),
        ("loopback", True),
    ]
    assert answer["warnings"] == []


def test_a_tunnel_that_does_not_come_up_is_a_warning(
    engine: Engine, gateway: Port, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh(tmp_path, "#!/bin/sh\nexit 255\n", monkeypatch)
    told = engine("gateway", "probe", "--ssh", "ann@far", "--json")
    answer = json.loads(told.out)
    assert (told.status, [one["id"] for one in answer["targets"]]) == (0, ["loopback"])
    (warning,) = answer["warnings"]
    assert warning["code"] == "ssh_tunnel_failed"
    assert warning["message"].startswith("SSH tunnel failed to start")


def test_a_host_that_would_be_an_option_is_refused(engine: Engine, home: Path) -> None:
    assert engine("gateway", "probe", "--ssh", "-oProxyCommand=x").status == 2


def test_a_reference_nobody_can_follow_is_a_warning(
    engine: Engine, home: Path, nobody: None
) -> None:
    text = '{ gateway: { auth: { token: { source: "env", id: "NOBODY_SET_IT" } } } }'
    (home / ".engine" / "engine.json").write_text(text)
    answer = json.loads(engine("gateway", "probe", "--json").out)
    assert [one["code"] for one in answer["warnings"]] == ["auth_secretref_unresolved"]
