"""No secret is read in a log (operations.md §11, design.md P7)."""

from __future__ import annotations

import pytest

from engine.log.redaction import HIDDEN, Redactor, compiled

KEY = "sk-proj-abcdefghijklmnop1234"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"key {KEY} refused", "key sk-pro…1234 refused"),
        ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: Bearer abcdef…cdef"),
        ('{"botToken":"hunter2"}', '{"botToken":"***"}'),
        (r"{\"password\": \"hunter2\"}", r"{\"password\": \"***\"}"),
        ("OPENAI_API_KEY=hunter2222 set", "OPENAI_API_KEY=*** set"),
        ("engine --token hunter2hunter2", "engine --token ***"),
        ("https://ann:hunter2@example.org/x", "https://ann:***@example.org/x"),
        ("bot 123456789:AAEabcdefghijklmnopqrstuvwxyz012345 said", "bot 123456…2345 said"),
        (
            "POST https://api.telegram.org/bot123456789:AAEabcdefghijklmnopqrstuvwxyz012345/getMe",
            "POST https://api.telegram.org/bot123456…2345/getMe",
        ),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----", "-----B…----"),
        ("ghp_0123456789abcdefABCD is no key", "ghp_01…ABCD is no key"),
        ("a task-list and 12:30:45 and token counts: 12", None),
        ("tokens: 18234", None),
    ],
)
def test_what_looks_like_a_secret_keeps_its_ends_if_it_is_long(
    text: str, shown: str | None
) -> None:
    assert Redactor()(text) == (shown or text)


def test_a_secret_that_is_known_is_hidden_whole_whatever_it_looks_like() -> None:
    redact = Redactor(["correct horse", "battery"], patterns=None)
    assert redact("correct horse battery") == f"{HIDDEN} {HIDDEN}"
    assert redact(KEY) == KEY, "shapes are looked for only if asked"


def test_own_patterns_replace_those_built_in() -> None:
    redact = Redactor(patterns=["/badge-(\\w+)/i"])
    assert redact(f"BADGE-0123 {KEY}") == f"BADGE-*** {KEY}"


def test_a_pattern_that_is_none_is_said_to_be_none() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        compiled("([")
