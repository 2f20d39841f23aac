"""A difference of two configs shows no secret, in comments neither."""

from __future__ import annotations

import pytest

from engine.cli.config.difference import difference

LIVE = '{\n  channels: { telegram: { botToken: "hunter2-hunter2" } },\n  x: 1,\n}\n'


def test_a_secret_that_was_commented_out_is_hidden_on_both_sides() -> None:
    off = LIVE.replace("  channels", "  // off: hunter2-hunter2 channels")
    assert off != LIVE
    for old, new in ((LIVE, off), (off, LIVE)):
        assert "hunter2" not in "\n".join(difference(old, new, "engine.json"))


@pytest.mark.parametrize(
    "comment",
    [
        '// botToken: "hunter2-hunter2",',
        "// telegram: { botToken: 'hunter2-hunter2', allowFrom: [1] },",
        '/* "apiKey": "hunter2-hunter2" */',
        "// 8123456789:AAhunter2hunter2hunter2hunter2hunter2",
        "// curl -H 'authorization: Bearer hunter2-hunter2-hunter2'",
    ],
)
def test_a_secret_that_stands_only_in_a_comment_is_hidden(comment: str) -> None:
    old = f"{{\n  {comment}\n  a: 1,\n}}\n"
    told = "\n".join(difference(old, old.replace("a: 1", "a: 2"), "engine.json"))
    assert "a: 2" in told
    assert "hunter2-hunter2" not in told
    assert "AAhunter2hunter2hunter2" not in told


def test_an_address_in_a_string_begins_no_comment_and_other_comments_stay() -> None:
    old = '{\n  a: "http://x", b: "name: \'y\'", // the port: "18789"\n  c: 1,\n}\n'
    told = "\n".join(difference(old, old.replace("c: 1", "c: 2"), "engine.json"))
    assert '// the port: "18789"' in told
    assert '"http://x"' in told
