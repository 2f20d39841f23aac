"""Patterns that address an agent: what they find, and which are not tried (channels.md §3.3)."""

from __future__ import annotations

import pytest

from engine.messages.mentions import LONGEST, addressed, fault


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\bsamantha\b", "hey SAMANTHA, hello", True),
        (r"\bsamantha\b", "samanthas", False),
        (r"@?小弟", "小弟在吗", True),
        (r"^bot[,:]", "bot: hello", True),
        (r"hey.*bot", "hey there, my bot", True),
        (r"[)(|*+]x", ")x", True),
        (r"(?:ro)?bot|android", "an android", True),
        (r"bot", "b\u200bo\u200bt", True),
        (r"bot{2}", "bott", True),
        (r"bot", "x" * LONGEST + "bot", False),
    ],
)
def test_a_pattern_finds_its_name_without_case(pattern: str, text: str, found: bool) -> None:
    assert fault(pattern) == ""
    assert addressed([pattern], text) is found


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r"(a|aa)+b",
        r"(?:x*)*y",
        r"(a?){30}a{30}",
        r"([a-z]+\s?)*!",
        r"(.*)\1",
        r"(?P<x>a)(?P=x)*",
        r"a*a*a*a*a*b",
        "a?" * 30 + "a" * 30,
        r"(a|b)" * 24,
        r"(unclosed",
        r"[z-a]",
        r"",
        r"  ",
        r"a{1000}" * 3 + r"(?:b{2,}c*)+",
    ],
)
def test_a_pattern_that_is_wrong_or_could_take_long_is_not_tried(pattern: str) -> None:
    assert fault(pattern)
    assert not addressed([pattern], "a" * 5000)


def test_one_bad_pattern_does_not_keep_the_others_from_being_tried() -> None:
    assert addressed(["(a+)+", "bot"], "my bot")


@pytest.mark.parametrize("pattern", [r"a*a*b", r"(?:a|a)(?:a|a)(?:a|a)c*b", r"\w+\s+\w+!", r"a+b"])
def test_what_is_tried_looks_at_no_more_than_its_repeats_allow(pattern: str) -> None:
    assert not addressed([pattern], "a" * 100_000)  # returns at once, or the suite's limit strikes
