"""What the doctor makes of the answers of a gateway (operations.md §10)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

HELD: dict[str, Any] = {"role": "operator", "scopes": [], "createdAtMs": 1}
GONE: dict[str, Any] = {**HELD, "revokedAtMs": 2}


@pytest.mark.parametrize(
    ("tokens", "told"), [([GONE], True), ([GONE, HELD], False), ([HELD], False), ([], False)]
)
def test_a_device_whose_tokens_are_all_revoked_is_told(
    engine: Engine,
    gateway: Port,
    monkeypatch: pytest.MonkeyPatch,
    tokens: list[dict[str, Any]],
    told: bool,
) -> None:
    async def listing(*_: Any, **__: Any) -> dict[str, Any]:
        one = {"deviceId": "630dcd2966c4", "displayName": "desk", "tokens": tokens}
        return {"pending": [], "paired": [one]}

    monkeypatch.setattr(gateway.core.devices, "listing", listing)
    found = json.loads(engine("doctor", "--json", "--only", "auth").out)["findings"]
    assert [one["id"] for one in found] == ["auth.device_token_stale"] * told
    assert all("630dcd2966c4 (desk)" in one["what"] for one in found)
