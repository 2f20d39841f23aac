from __future__ import annotations

from typing import Any

import pytest

from engine.agents.envelope import NoAnswer, completed

WORDS: dict[str, Any] = {"message": {"content": "fine"}, "finish_reason": "stop"}


def choice(answer: dict[str, Any]) -> dict[str, Any]:
    (one,) = completed(answer, "m")["choices"]
    found: dict[str, Any] = one
    return found


def test_what_was_left_out_is_filled_in() -> None:
    assert completed({"choices": [WORDS]}, "m") == {
        "id": "",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "fine", "tool_calls": None},
            }
        ],
        "usage": None,
    }


def test_what_was_sent_stays() -> None:
    sent = {"id": "c", "created": 7, "model": "n", "usage": {"prompt_tokens": 3}, "x": 1}
    found = completed({**sent, "choices": [{**WORDS, "index": 4}]}, "m")
    assert (found["id"], found["created"], found["model"], found["x"]) == ("c", 7, "n", 1)
    assert found["choices"][0]["index"] == 4
    assert found["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 0}


def test_why_an_answer_ended_is_never_made_up() -> None:
    assert "finish_reason" not in choice({"choices": [{"message": {"content": "half"}}]})


def test_a_tool_is_called_with_arguments_of_any_spelling() -> None:
    calls = [
        {"function": {"name": "a", "arguments": {"x": 1}}},
        {"id": "k", "type": "function", "function": {"name": "b", "arguments": '{"x": 2}'}},
        {"function": {"name": "c"}},
        {"type": "custom", "custom": {"name": "d"}},
    ]
    found = choice({"choices": [{"message": {"tool_calls": calls}}]})["message"]["tool_calls"]
    assert [call.get("id") for call in found] == ["call_0", "k", "call_2", None]
    assert [call["function"]["arguments"] for call in found[:3]] == ['{"x": 1}', '{"x": 2}', "{}"]
    assert found[3] == calls[3]


def test_what_is_no_choice_or_no_message_is_left_to_the_library() -> None:
    assert completed({"choices": ["?"]}, "m")["choices"] == ["?"]
    assert choice({"choices": [{"message": "?"}]})["message"] == "?"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "the answer holds no choices"),
        ({"choices": []}, "the answer holds no choices"),
        ({"error": {"message": "overloaded"}}, "the answer holds no choices: overloaded"),
        ({"choices": None, "error": "boom"}, "the answer holds no choices: boom"),
    ],
)
def test_no_answer_is_told_in_the_servers_words(answer: dict[str, Any], words: str) -> None:
    with pytest.raises(NoAnswer) as caught:
        completed(answer, "m")
    assert str(caught.value) == words
