from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from engine.agents.base import ToolRefused
from engine.agents.tools.message import LONGEST, message_tool
from engine.messages.outbox import NewMessage
from jobs.errors import InvalidInput


class Diary:
    def __init__(self, refusal: InvalidInput | None = None) -> None:
        self.sent: list[NewMessage] = []
        self._refusal = refusal

    async def send(self, message: NewMessage) -> Mapping[str, Any]:
        if self._refusal is not None:
            raise self._refusal
        self.sent.append(message)
        return {"ok": True, "key": message.key}


async def test_a_message_goes_to_the_outlet_with_a_key_of_the_run() -> None:
    diary = Diary()
    tool = message_tool(diary, agent_id="a", run_id="r1")
    answer = await tool.call({"action": "send", "message": " hi ", "channel": "telegram", "to": 7})
    assert diary.sent == [
        NewMessage(text="hi", key="message:r1:1", channel="telegram", to="7", agent_id="a")
    ]
    assert json.loads(answer) == {"ok": True, "key": "message:r1:1"}


@pytest.mark.parametrize("media", [["p.png"], "p.png", [" p.png "]])
async def test_files_go_along_and_may_go_alone(media: object) -> None:
    diary = Diary()
    await message_tool(diary, agent_id="a", run_id="r1").call({"media": media})
    (sent,) = diary.sent
    assert (sent.text, sent.files, sent.laid_ready) == ("", ("p.png",), False)


async def test_the_same_turn_again_uses_the_same_keys() -> None:
    diary = Diary()
    for _ in range(2):
        tool = message_tool(diary, agent_id="a", run_id="r1")
        await tool.call({"message": "one"})
        await tool.call({"message": "two"})
    keys = [message.key for message in diary.sent]
    assert keys == ["message:r1:1", "message:r1:2"] * 2


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"message": " "},
        {"message": ["x"]},
        {"message": "x", "action": "delete"},
        {"message": "x", "to": True},
        {"message": "x", "media": ["", "a"]},
        {"message": "x", "media": [7]},
        {"message": "x", "media": {"path": "a"}},
        {"message": "x" * (LONGEST + 1)},
    ],
)
async def test_what_cannot_be_sent_is_refused(arguments: dict[str, Any]) -> None:
    diary = Diary()
    with pytest.raises(ToolRefused):
        await message_tool(diary, agent_id="a", run_id="r").call(arguments)
    assert diary.sent == []


async def test_a_refusal_of_the_outlet_is_told_to_the_agent() -> None:
    diary = Diary(InvalidInput("nothing was sent", why="no route"))
    with pytest.raises(ToolRefused, match="no route"):
        await message_tool(diary, agent_id="a", run_id="r").call({"message": "x"})
