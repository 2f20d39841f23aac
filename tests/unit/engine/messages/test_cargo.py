"""What of a message's files goes as what, and what follows a refusal (channels.md §6)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.messages.address import Route
from engine.messages.cargo import (
    MENDED,
    PARTS,
    REFUSED,
    Carriage,
    load_of,
    otherwise,
    stow,
    uncaptioned,
    words_of,
)
from engine.messages.delivery import Delivery
from engine.messages.fault import Fault, FaultClass
from engine.messages.media import MB, Media, MediaKind
from engine.messages.outbox import Again, End, next_step, receipt

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TAKES = Carriage(
    most={MediaKind.IMAGE: 10 * MB, MediaKind.FILE: 50 * MB}, caption=1024, name="Telegram"
)
PHOTO = Media(kind=MediaKind.IMAGE, name="p.png", path="/m/p.png", size=MB)
PAPER = Media(kind=MediaKind.FILE, name="p.pdf", path="/m/p.pdf", size=MB)
LINK = Media(kind=MediaKind.IMAGE, name="c.jpg", url="https://cats.example/c.jpg")
NO = Fault(fault=FaultClass.MEDIA_REFUSED, code="400", detail="wrong file")


def message(*media: Media, chunks: tuple[str, ...] = ("look",), **notes: Any) -> Delivery:
    return Delivery(
        key="k",
        route=Route(channel="telegram", account_id="default", to="42"),
        text="look",
        kind="message",
        created_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        media=media,
        chunks=chunks,
        notes={PARTS: list(range(len(media))), **notes},
    )


def test_a_channel_without_files_gets_links_and_words() -> None:
    stowed = stow([LINK, PAPER], Carriage(name="the inbox", here=True), 8)
    assert (stowed.parts, stowed.notes) == ((), {})
    assert stowed.words == ("https://cats.example/c.jpg", "(p.pdf, 1.0 MB: /m/p.pdf)")
    stowed = stow([LINK, PAPER], Carriage(name="a webhook"), 8)
    assert stowed.words[1] == "(p.pdf, 1.0 MB, was not sent: a webhook takes links only)"
    assert stowed.notes[REFUSED][0]["class"] == "media-not-carried"


@pytest.mark.parametrize(
    ("size", "part"), [(10 * MB, True), (10 * MB + 1, True), (50 * MB + 1, False), (None, True)]
)
def test_what_is_too_large_is_named_with_its_limit_and_its_class(
    size: int | None, part: bool
) -> None:
    stowed = stow([replace(PHOTO, size=size)], TAKES, 8)
    assert bool(stowed.parts) is part
    if not part:
        assert "was not sent: Telegram takes at most 50.0 MB" in stowed.words[0]
        assert stowed.notes[REFUSED][0]["class"] == "media-too-large"


def test_more_files_than_parts_are_named() -> None:
    stowed = stow([PAPER, PAPER, PAPER], TAKES, 2)
    assert stowed.parts == (0, 1)
    assert "too many files" in stowed.words[0]


def test_a_refused_photo_goes_as_a_file_and_then_as_a_word() -> None:
    first = message(PHOTO)
    step = next_step(first, NO, NOON, idempotent=False)
    assert isinstance(step, Again)
    second = replace(first, notes=step.notes)
    load = load_of(second)
    assert load is not None
    assert load.kind is MediaKind.FILE
    step = next_step(second, NO, NOON, idempotent=False)
    assert isinstance(step, Again)
    third = replace(first, notes=step.notes)
    assert load_of(third) is None
    assert words_of(third) == "look\n(p.png, 1.0 MB, was not sent: 400 wrong file)"
    assert receipt(third)[REFUSED] == [
        {"name": "p.png", "class": "media-refused", "detail": "400 wrong file"}
    ]
    assert isinstance(next_step(third, NO, NOON, idempotent=False), End)


def test_an_address_nobody_could_fetch_goes_as_a_link() -> None:
    first = message(LINK)
    then = otherwise(first, NO)
    assert then is not None
    assert then[MENDED] == {"0": "link"}
    assert words_of(replace(first, notes=then)) == "look\nhttps://cats.example/c.jpg"


def test_a_part_of_text_alone_carries_nothing() -> None:
    text = replace(message(PHOTO, chunks=("", "words")), cursor=1)
    assert load_of(text) is None
    assert otherwise(text, NO) is None
    assert words_of(text) == "words"
    assert uncaptioned(text, ("words",)) is None


def test_a_caption_that_is_too_long_follows_the_files_as_text() -> None:
    both = message(PHOTO, PAPER, chunks=("long", "", "more"))
    assert uncaptioned(both, ("lo", "ng")) == ("", "", "lo", "ng", "more")
