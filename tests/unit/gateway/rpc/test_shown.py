"""What of a conversation fits into one answer (protocol.md §6)."""

from __future__ import annotations

from typing import Any

from gateway.rpc.shown import LARGEST, fitted


def line(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}], "timestamp": 1}


def texts(messages: list[Any]) -> list[str]:
    return [message["content"][0]["text"] for message in messages]


def test_the_oldest_go_first() -> None:
    lines = [line(str(number) * 100) for number in range(9)]
    assert texts(fitted(lines, room=400)) == ["7" * 100, "8" * 100]
    assert fitted(lines) == lines


def test_a_line_that_is_too_large_takes_no_other_with_it() -> None:
    shown = fitted([line("before"), line("x" * LARGEST), line("after")])
    before, instead, after = texts(shown)
    assert (before, after) == ("before", "after")
    assert instead == "[a message of 1.0 MB is left out: it is too large to show here]"
    assert shown[1]["truncated"] is True


def test_texts_are_cut_to_what_was_asked_for() -> None:
    short, long = fitted([line("short"), line("a long line")], max_chars=6)
    assert texts([short, long]) == ["short", "a long\n...(truncated)..."]
    assert "truncated" not in short
