"""What a model writes to a tool is judged before any tool sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engine.agents.base import Tool, ToolCall, storable, use_tool, used


def tool(error: Exception | None = None) -> Tool:
    async def call(_: Mapping[str, Any]) -> str:
        if error is not None:
            raise error
        return "done"

    return Tool(name="do", description="", parameters={}, call=call)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"text": "a\ud800b"}, "half a character"),
        ({"a": {"b": ["\udfff"]}}, "half a character"),
        ({"text": "x" * 1_000_001}, "the most is 1000000"),
    ],
)
async def test_what_no_tool_should_see_is_refused_with_a_reason(
    arguments: dict[str, Any], words: str
) -> None:
    call = await use_tool([tool()], "do", arguments)
    assert call.failed
    assert words in call.result
    assert used([call])[0]["refused"] == call.result


async def test_what_the_disk_refuses_is_told_and_ends_no_turn() -> None:
    call = await use_tool([tool(OSError(36, "File name too long"))], "do", {})
    assert (call.failed, call.result) == (True, "that did not work: File name too long")


async def test_a_tool_that_is_not_there_is_told() -> None:
    call = await use_tool([tool()], "exec", {})
    assert call.result == "there is no tool 'exec'; tools: do"


def test_a_row_keeps_calls_short_and_without_secrets() -> None:
    (line,) = used([ToolCall(name="do", arguments={"key": "sk-secret123456", "x": "y" * 900})])
    assert "sk-secret" not in line["arguments"]
    assert len(line["arguments"]) == 500


def test_words_are_made_such_as_every_store_takes() -> None:
    assert storable("a\0b\ud800c日") == "ab?c日"
