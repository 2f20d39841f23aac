from __future__ import annotations

from typing import Any

import pytest

from engine.agents.base import ToolRefused
from engine.agents.tools.heartbeat import heartbeat_tool, valid_response

GOOD: dict[str, Any] = {"outcome": "done", "notify": True, "summary": "disk cleaned"}


def test_a_full_answer_is_taken_as_it_is() -> None:
    full = {**GOOD, "notificationText": "Cleaned.", "priority": "high", "nextCheck": "20m"}
    assert valid_response({**full, "reason": "x"}) == {**full, "reason": "x"}


def test_unknown_fields_are_left_out() -> None:
    assert valid_response({**GOOD, "mood": "great"}) == GOOD


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"outcome": "fine"}, "outcome must be one of no_change"),
        ({"notify": "yes"}, "notify must be true or false"),
        ({"summary": "  "}, "summary must say"),
        ({"summary": 3}, "summary must be text"),
        ({"priority": "urgent"}, "priority must be one of"),
        ({"nextCheck": 20}, "nextCheck must be text"),
    ],
)
def test_an_invalid_answer_says_what_is_wrong(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ToolRefused, match=told):
        valid_response({**GOOD, **change})


async def test_a_valid_call_ends_the_turn_and_tells_the_agent_what_follows() -> None:
    tool = heartbeat_tool()
    assert tool.ends_turn
    assert "user is told" in await tool.call(GOOD)
    assert "nobody" in await tool.call({**GOOD, "notify": False})
