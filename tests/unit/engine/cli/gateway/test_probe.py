"""`engine gateway probe` and `discover`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.lock import Lock, Owner
from tests.fakes.gateway_port import Port
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
    assert "read probe ok" in engine("gateway", "probe").out


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
