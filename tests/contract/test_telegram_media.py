"""Files over Telegram, end to end on the stand-in: what a person gets, what the receipt says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.media import MB, Media, MediaKind, kind_of, mime_of, of_url
from engine.messages.outbox import TERMINAL, receipt
from engine.store import outbox
from engine.testing.telegram import TelegramStandIn, Wrong
from jobs.store.db import Database
from tests.contract.test_delivery import Bench

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
MP4 = b"\0\0\0\x18ftypmp42" + b"\0" * 64
OGG = b"OggS" + b"\0" * 64
MP3 = b"ID3" + b"\0" * 64
GIF = b"GIF89a" + b"\0" * 64
PDF = b"%PDF-1.7\n" + b"\0" * 64


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    db = await Database.memory()
    async with TelegramStandIn() as telegram:
        bench = Bench(db, telegram)
        await bench.channel.start(bench.admit)
        await bench.sender.start()
        yield bench
        await bench.sender.stop()
        await bench.channel.stop()
    await db.close()


def laid(folder: Path, content: bytes, name: str) -> Media:
    path = folder / name
    path.write_bytes(content)
    mime = mime_of(content[:32], name)
    return Media(kind=kind_of(mime), name=name, path=str(path), size=len(content), mime=mime)


async def put(bench: Bench, *media: Media, text: str = "") -> dict[str, Any]:
    delivery = Delivery(
        key="k",
        route=Route(channel="telegram", account_id="default", to="42"),
        text=text,
        kind="message",
        created_at=NOON,
        expires_at=NOON + timedelta(hours=1),
        media=media,
    )
    await bench.db.write(lambda tx: outbox.add(tx, delivery))
    bench.sender.poke()
    async with asyncio.timeout(10):
        while (state := (await bench.moves.get())[1]) not in TERMINAL:
            if state is State.QUEUED:  # one part a second to one person
                await bench.clock.advance(timedelta(seconds=2))
    stored = await bench.db.read(lambda tx: outbox.get(tx, "k"))
    assert stored is not None
    return receipt(stored)


@pytest.mark.parametrize(
    ("content", "name", "method"),
    [
        (PNG, "p.png", "sendPhoto"),
        (GIF, "g.gif", "sendAnimation"),
        (MP4, "v.mp4", "sendVideo"),
        (OGG, "o.ogg", "sendVoice"),
        (MP3, "m.mp3", "sendAudio"),
        (PDF, "报告.pdf", "sendDocument"),
        (b"words", "p.png", "sendDocument"),
    ],
)
async def test_a_file_arrives_as_what_it_is_with_its_caption(
    bench: Bench, tmp_path: Path, content: bytes, name: str, method: str
) -> None:
    got = await put(bench, laid(tmp_path, content, name), text="**Look** & see")
    (message,) = bench.telegram.sent
    assert message.file is not None
    assert (message.file.method, message.file.name) == (method, name)
    assert message.file.content == content
    assert message.visible == "Look & see"
    assert (got["status"], got["messageIds"]) == ("delivered", [str(message.message_id)])


async def test_words_too_long_for_a_caption_follow_the_file(bench: Bench, tmp_path: Path) -> None:
    got = await put(bench, laid(tmp_path, PNG, "p.png"), text="word " * 300)
    photo, words = bench.telegram.sent
    assert photo.file is not None
    assert (photo.visible, words.file) == ("", None)
    assert words.visible.startswith("word word")
    assert len(got["messageIds"]) == got["chunks"] == 2


async def test_markup_that_makes_a_caption_fit_or_not_is_counted_by_the_platform(
    bench: Bench, tmp_path: Path
) -> None:
    bench.telegram.fail("sendPhoto", Wrong.bad_request("Bad Request: message caption is too long"))
    got = await put(bench, laid(tmp_path, PNG, "p.png"), text="short")
    photo, words = bench.telegram.sent
    assert photo.file is not None
    assert (photo.visible, words.visible) == ("", "short")
    assert (got["status"], got["rechunked"]) == ("delivered", True)


async def test_a_file_after_the_first_has_its_own_receipt(bench: Bench, tmp_path: Path) -> None:
    two = laid(tmp_path, PNG, "a.png"), laid(tmp_path, PDF, "b.pdf")
    got = await put(bench, *two, text="both")
    assert [m.file.name for m in bench.telegram.sent if m.file] == ["a.png", "b.pdf"]
    assert got["messageIds"] == [str(m.message_id) for m in bench.telegram.sent]


async def test_a_photo_the_platform_cannot_read_goes_as_a_document(
    bench: Bench, tmp_path: Path
) -> None:
    bench.telegram.fail("sendPhoto", Wrong.bad_request("Bad Request: PHOTO_INVALID_DIMENSIONS"))
    got = await put(bench, laid(tmp_path, PNG, "wide.png"), text="look")
    (message,) = bench.telegram.sent
    assert message.file is not None
    assert (message.file.method, message.visible) == ("sendDocument", "look")
    assert got["status"] == "delivered"
    assert "mediaRefused" not in got


async def test_an_address_is_fetched_by_the_platform(bench: Bench) -> None:
    await put(bench, of_url("https://cats.example/cat.jpg"), text="cat")
    (message,) = bench.telegram.sent
    assert message.file is not None
    assert (message.file.method, message.file.url) == ("sendPhoto", "https://cats.example/cat.jpg")


async def test_an_address_the_platform_cannot_fetch_goes_as_a_link(bench: Bench) -> None:
    failed = "Bad Request: failed to get HTTP URL content"
    bench.telegram.fail("sendPhoto", Wrong.bad_request(failed))
    got = await put(bench, of_url("https://cats.example/cat.jpg"), text="cat")
    (message,) = bench.telegram.sent
    assert message.visible == "cat\nhttps://cats.example/cat.jpg"
    assert got["mediaRefused"][0]["class"] == "media-refused"
    assert "failed to get HTTP URL content" in got["mediaRefused"][0]["detail"]


async def test_a_file_that_is_too_large_is_told_and_the_words_arrive(
    bench: Bench, tmp_path: Path
) -> None:
    big = Media(kind=MediaKind.FILE, name="b.zip", path=str(tmp_path / "b.zip"), size=51 * MB)
    got = await put(bench, big, text="the backup")
    (message,) = bench.telegram.sent
    assert message.visible == (
        "the backup\n(b.zip, 51.0 MB, was not sent: Telegram takes at most 50.0 MB)"
    )
    assert got["mediaRefused"][0]["class"] == "media-too-large"


async def test_a_file_that_is_gone_is_told_and_the_words_arrive(
    bench: Bench, tmp_path: Path
) -> None:
    gone = laid(tmp_path, PDF, "gone.pdf")
    (tmp_path / "gone.pdf").unlink()
    got = await put(bench, gone, text="look")
    (message,) = bench.telegram.sent
    assert "gone.pdf" in message.visible
    assert "was not sent" in message.visible
    assert got["status"] == "delivered"


async def test_a_group_in_which_the_bot_may_send_no_files_gets_the_words(
    bench: Bench, tmp_path: Path
) -> None:
    no = Wrong.bad_request("Bad Request: not enough rights to send documents to the chat")
    bench.telegram.fail("sendDocument", no)
    got = await put(bench, laid(tmp_path, PDF, "r.pdf"), text="report")
    (message,) = bench.telegram.sent
    assert message.visible.startswith("report\n(r.pdf")
    assert got["status"] == "delivered"


async def test_a_lost_answer_to_an_upload_is_not_repeated(bench: Bench, tmp_path: Path) -> None:
    bench.telegram.fail("sendPhoto", Wrong.lost_answer())
    got = await put(bench, laid(tmp_path, PNG, "p.png"), text="once")
    assert got["status"] == "unknown"
    assert len(bench.telegram.sent) == 1


async def test_a_rate_limit_between_files_repeats_none(bench: Bench, tmp_path: Path) -> None:
    bench.telegram.fail("sendDocument", Wrong.too_many(0))
    two = laid(tmp_path, PNG, "a.png"), laid(tmp_path, PDF, "b.pdf")
    got = await put(bench, *two, text="both")
    assert [m.file.name for m in bench.telegram.sent if m.file] == ["a.png", "b.pdf"]
    assert got["status"] == "delivered"
