"""Random texts: cut within the limit, nothing lost, always HTML the platform accepts."""

from __future__ import annotations

from hypothesis import given, strategies as st

from engine.testing.telegram.markup import read_as_platform
from gateway.channels.text import chunk, code_points, telegram_html, utf16_units

PIECES = (
    "**", "*", "_", "__", "~~", "||", "`", "```\n", "\n```py\n", "[a](https://b.c)", "<b>", "&",
    "word", " ", "\n", "\n\n", "# ", "> ", "- ", "👩\u200d👩\u200d👧", "é", "\\*", "]", "(",
)  # fmt: skip
markup = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@given(st.text() | markup)
def test_the_platform_can_always_read_what_is_rendered(text: str) -> None:
    assert read_as_platform(telegram_html(text)) is not None


@given(st.text(max_size=400) | markup, st.integers(40, 200), st.sampled_from(["newline", "length"]))
def test_no_chunk_is_over_the_limit(text: str, limit: int, mode: str) -> None:
    for measure in (utf16_units, code_points):
        for piece in chunk(text, limit, measure, mode=mode, max_chunks=1000).chunks:
            assert measure(piece) <= limit
            assert piece.strip()


@given(st.text(alphabet="ab é😀\n.", max_size=400), st.integers(40, 120))
def test_nothing_but_white_space_is_lost(text: str, limit: int) -> None:
    joined = "".join(chunk(text, limit, max_chunks=1000).chunks)
    assert "".join(joined.split()) == "".join(text.split())
