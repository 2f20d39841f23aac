from __future__ import annotations

import pytest

from engine.agents.base import TurnReply
from engine.wording.prefix import put_before, rendered

REPLY = TurnReply(payloads=("hello",), model="meta/llama-4", provider="lab")


@pytest.mark.parametrize(
    ("template", "sent"),
    [
        ("", ""),
        ("bot:", "bot:"),
        ("auto", "[Molty]"),
        ("[{identity.name}]", "[Molty]"),
        ("({identityName}, {model})", "(Molty, llama-4)"),
        ("{modelFull}|{provider}", "lab/meta/llama-4|lab"),
        ("{mood} {MODEL}", "{mood} llama-4"),
    ],
)
def test_a_prefix_is_sent_as_it_was_meant(template: str, sent: str) -> None:
    assert rendered(template, name="Molty", reply=REPLY) == sent


def test_what_is_not_known_is_not_made_up() -> None:
    assert rendered("auto", name=None) == ""
    assert rendered("{model}", name="Molty") == "{model}"


def test_a_prefix_stands_before_a_text_once() -> None:
    assert put_before("[Molty]", "hello") == "[Molty] hello"
    assert put_before("[Molty]", "[molty] hello") == "[molty] hello"
    assert put_before("", "hello") == "hello"
