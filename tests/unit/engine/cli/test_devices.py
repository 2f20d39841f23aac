"""`engine devices` and `engine token`, as a person types them."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.fakes.gateway_core import FakeDevices
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

ID = "630dcd2966c4" + "0" * 52
ASKING = {
    "requestId": "1f0e3dad99908345",
    "deviceId": ID,
    "clientId": "cli",
    "clientMode": "cli",
    "displayName": "laptop",
    "role": "operator",
    "scopes": ["operator.read"],
    "reason": "not-paired",
    "ts": 1_790_000_000_000,
}
PAIRED = {**ASKING, "roles": ["operator"], "tokens": [{"role": "operator"}], "lastSeenAtMs": None}


def filled(gateway: Port, pending: list[object], paired: list[object]) -> None:
    assert isinstance(gateway.core.devices, FakeDevices)
    gateway.core.devices.listed = {"pending": pending, "paired": paired}


def test_who_asks_and_who_is_in_is_shown_with_the_command_that_lets_in(
    engine: Engine, gateway: Port
) -> None:
    assert engine("devices", "list").out == "No device asks to be let in.\n"
    filled(gateway, [ASKING], [PAIRED])
    told = engine("devices", "list").out
    assert "laptop (630dcd2966c4)" in told
    assert "not-paired: operator read" in told
    assert "Let in with: engine devices approve 1f0e3dad99908345" in told
    assert json.loads(engine("devices", "list", "--json").out)["pending"] == [ASKING]


def test_a_device_is_named_by_the_start_of_its_id(engine: Engine, gateway: Port) -> None:
    filled(gateway, [ASKING], [PAIRED])
    assert engine("devices", "remove", "630dcd").out.startswith("Removed: 630dcd2966c4")
    assert (
        engine("devices", "revoke", "630d").out == "Revoked: the operator token of 630dcd2966c4.\n"
    )
    rotated = engine("devices", "rotate", ID, "--scope", "operator.read")
    assert rotated.out.startswith("Rotated: 630dcd2966c4")
    assert "secret-bearer" not in rotated.out
    assert engine("devices", "reject", "1f0e3dad99908345").status == 0
    assert engine("devices", "approve", "--latest").status == 0
    unknown = engine("devices", "remove", "ffff")
    assert (unknown.status, "no device begins like this" in unknown.err) == (6, True)


def test_to_approve_somebody_has_to_be_named(engine: Engine, gateway: Port) -> None:
    assert engine("devices", "approve").status == 2
    assert engine("devices", "approve", "--latest").status == 6  # nobody waits


@pytest.fixture
def file(home: Path) -> Path:
    return home / ".engine" / "gateway.token"


def test_a_token_in_the_file_is_shown_and_replaced(engine: Engine, file: Path) -> None:
    assert engine("token", "show").status == 6
    made = engine("token", "rotate")
    assert "~/.engine/gateway.token" in made.out
    token = file.read_text().strip()
    assert token not in made.out + made.err
    assert engine("token", "show").out == f"{token}\n"
    status = engine("token", "status", "--json").out
    assert token not in status
    assert json.loads(status)["source"] == "file"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    engine("token", "rotate", "--json")
    assert file.read_text().strip() != token


def test_a_token_in_the_config_is_replaced_where_it_lies(
    engine: Engine, home: Path, file: Path
) -> None:
    config = home / ".engine" / "engine.json"
    config.write_text('{ gateway: { auth: { token: "old-old-old-old-old" } } } // mine\n')
    assert engine("token", "rotate").status == 0
    written = config.read_text()
    assert "old-old" not in written
    assert "// mine" in written
    assert engine("token", "show").out.strip() in written
    assert not file.exists()


@pytest.mark.parametrize("where", ["env", "reference"])
def test_a_token_that_lies_elsewhere_is_not_replaced(
    engine: Engine, home: Path, file: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "env":
        monkeypatch.setenv("ENGINE_GATEWAY_TOKEN", "from-the-environment")
    else:
        monkeypatch.setenv("SECRET", "from-the-environment")
        (home / ".engine" / "engine.json").write_text('{gateway: {auth: {token: "${SECRET}"}}}')
    refused = engine("token", "rotate")
    assert refused.status == 78
    assert "ENGINE_GATEWAY_TOKEN" in refused.err or "SECRET" in refused.err
    assert not file.exists()
