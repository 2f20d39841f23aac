"""Text for platforms: channels.md §6, by example. The random cases are in tests/property."""

from __future__ import annotations

import pytest

from gateway.channels.text import TRUNCATED, chunk, clean, code_points, telegram_html, utf16_units


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<b>raw</b>", "&lt;b&gt;raw&lt;/b&gt;"),
        ("**bold** and *slanted*", "<b>bold</b> and <i>slanted</i>"),
        ("__bold__ _slanted_ ~~gone~~", "<b>bold</b> <i>slanted</i> <s>gone</s>"),
        ("**bold _both_**", "<b>bold <i>both</i></b>"),
        ("||secret||", "<tg-spoiler>secret</tg-spoiler>"),
        ("snake_case_name 2*3*4 * 5", "snake_case_name 2*3*4 * 5"),
        ("`a < b`", "<code>a &lt; b</code>"),
        ("`**not bold**`", "<code>**not bold**</code>"),
        ("[x](https://a.b/?p=1&q=2)", '<a href="https://a.b/?p=1&amp;q=2">x</a>'),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("# Heading **b**", "<b>Heading b</b>"),
        ("- one\n  * two", "• one\n  • two"),
        ("> said\n> twice\nthen", "<blockquote>said\ntwice</blockquote>\nthen"),
        ("```py\na < b\n```", '<pre><code class="language-py">a &lt; b</code></pre>'),
        ("```\nopen to the end", "<pre>open to the end</pre>"),
        ("\\*literal\\*", "*literal*"),
        ("**never closed", "**never closed"),
    ],
)
def test_markdown_becomes_the_html_of_the_bot_api(markdown: str, html: str) -> None:
    assert telegram_html(markdown) == html


def test_lengths_are_counted_in_the_units_of_the_platform() -> None:
    assert utf16_units("a😀") == 3
    assert code_points("a😀") == 2


def test_lone_surrogates_never_reach_the_wire() -> None:
    assert clean("a\ud83d\ude00b\ud83dc\0") == "a😀b\ufffdc"


def test_a_short_message_is_one_chunk_as_it_was() -> None:
    assert chunk("hello\n\nworld", 4000).chunks == ("hello\n\nworld",)


@pytest.mark.parametrize("blank", ["", " ", "\n\n \t"])
def test_a_blank_message_is_no_chunk(blank: str) -> None:
    assert chunk(blank, 4000).chunks == ()


def test_4097_characters_are_two_chunks() -> None:
    pieces = chunk("x" * 4097, 4000).chunks
    assert len(pieces) == 2
    assert "".join(pieces) == "x" * 4097


def test_a_blank_line_is_the_best_place_to_cut() -> None:
    first, second = chunk("one two three\nfour\n\nfive six", 27).chunks
    assert (first, second) == ("one two three\nfour", "five six")


def test_a_cut_never_falls_into_a_link() -> None:
    link = "[the words of the link](https://example.org/a/long/path)"
    pieces = chunk(f"{'a' * 50} {link} {'b' * 50}", 90).chunks
    assert any(link in piece for piece in pieces)


@pytest.mark.parametrize("cluster", ["👩‍👩‍👧‍👦", "🇩🇪", "é", "👍🏽", "☁️"])
def test_a_cut_never_falls_into_a_character(cluster: str) -> None:
    for piece in chunk(cluster * 60, 50, max_chunks=100).chunks:
        assert piece.replace(cluster, "") == ""


def test_a_fence_that_is_cut_is_closed_and_opened_again() -> None:
    code = "\n".join(f"line {n}" for n in range(12))
    pieces = chunk(f"```python\n{code}\n```", 70).chunks
    assert len(pieces) > 1
    for piece in pieces:
        assert piece.startswith("```python\n")
        assert piece.endswith("\n```")
    inside = [line for piece in pieces for line in piece.split("\n") if "```" not in line]
    assert "\n".join(inside) == code


def test_the_same_text_is_always_cut_the_same_way() -> None:
    text = "word " * 3000
    assert chunk(text, 4000) == chunk(text, 4000)


def test_what_does_not_fit_into_the_most_chunks_is_cut_and_said() -> None:
    plan = chunk("word " * 1000, 100, max_chunks=3)
    assert plan.truncated
    assert len(plan.chunks) == 3
    assert plan.chunks[-1].endswith(TRUNCATED)
    assert all(utf16_units(piece) <= 100 for piece in plan.chunks)
