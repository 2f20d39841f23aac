"""`engine approvals`: what waits for a person's yes, and their word (operations.md §13.1)."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

WAITS: dict[str, Any] = {
    "id": "3f9a2c",
    "agentId": "main",
    "name": "make all && ./ship",
    "workdir": "app",
    "whole": "CI=1\nmake all\n./ship",
    "state": "waits",
    "askedAtMs": 0,
}


def test_what_waits_is_listed_with_the_line_that_allows_it(engine: Engine, gateway: Port) -> None:
    assert engine("approvals", "list").out == "No command waits for you.\n"
    gateway.core.approvals.waiting.append(WAITS)
    told = engine("approvals", "list").out
    assert "3f9a2c" in told
    assert "make all" in told
    assert "3f9a2c would run in app:\n    CI=1\n    make all\n    ./ship\n" in told
    assert told.endswith("Allow with: engine approvals approve 3f9a2c\n")
    listed = json.loads(engine("approvals", "list", "--all", "--json").out)
    assert listed == {"approvals": [WAITS]}


def test_a_word_about_one_is_carried_to_the_gateway(engine: Engine, gateway: Port) -> None:
    assert engine("approvals", "approve", "3f9a2c").out == "Allowed: make (3f9a2c). It runs.\n"
    assert engine("approvals", "deny", "3f9a2c").out == "Denied: make (3f9a2c).\n"
    words = [one for one in gateway.core.said if str(one[0]).startswith("approvals.")]
    assert words == [("approvals.approve", "3f9a2c"), ("approvals.deny", "3f9a2c")]
