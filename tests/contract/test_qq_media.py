"""Files over QQ, end to end on the stand-in: uploaded, shown, and what is told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.media import Media, of_url
from engine.messages.outbox import TERMINAL, receipt
from engine.store import outbox
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn, Wrong
from jobs.store.db import Database
from tests.contract.test_telegram_media import MP4, OGG, PDF, PNG, laid
from tests.fakes.qq import NOON, TO_ANN, QqBench


@pytest.fixture
async def bench() -> AsyncIterator[QqBench]:
    db, clock = await Database.memory(), ManualClock(NOON)
    async with QqStandIn(clock=clock) as qq:
        bench = QqBench(db, qq, clock)
        await bench.start()
        yield bench
        await bench.stop()
    await db.close()


async def put(bench: QqBench, *media: Media, text: str = "", to: str = TO_ANN) -> dict[str, Any]:
    delivery = Delivery(
        key="k",
        route=Route(channel="qqbot", account_id="default", to=to),
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
            if state is State.QUEUED:
                await bench.clock.advance(timedelta(seconds=6))
    stored = await bench.db.read(lambda tx: outbox.get(tx, "k"))
    assert stored is not None
    return receipt(stored)


@pytest.mark.parametrize(
    ("content", "name", "file_type", "called"),
    [
        (PNG, "p.png", 1, ""),
        (MP4, "v.mp4", 2, ""),
        (b"\x02#!SILK_V3" + b"\0" * 64, "s.silk", 3, ""),
        (PDF, "报告.pdf", 4, "报告.pdf"),
        (OGG, "o.ogg", 4, "o.ogg"),
        (b"x" * 400_001, "long.txt", 4, "long.txt"),
    ],
)
async def test_a_file_is_uploaded_and_shown_with_its_words(
    bench: QqBench, tmp_path: Path, content: bytes, name: str, file_type: int, called: str
) -> None:
    got = await put(bench, laid(tmp_path, content, name), text="look")
    (message,) = bench.qq.sent
    assert message.file is not None
    assert (message.file.file_type, message.file.name) == (file_type, called)
    assert message.file.content == content
    assert (message.text, message.body["msg_type"]) == ("look", 7)
    assert (got["status"], got["messageIds"]) == ("delivered", [message.message_id])


async def test_an_address_is_fetched_by_the_platform_and_content_is_never_empty(
    bench: QqBench,
) -> None:
    await put(bench, of_url("https://cats.example/cat.png"))
    (message,) = bench.qq.sent
    assert message.file is not None
    assert (message.file.file_type, message.file.url) == (1, "https://cats.example/cat.png")
    assert message.body["content"]


async def test_a_picture_the_platform_does_not_take_goes_as_a_file(
    bench: QqBench, tmp_path: Path
) -> None:
    bench.qq.fail("files:c2c", Wrong.coded(850026))
    got = await put(bench, laid(tmp_path, PNG, "p.png"), text="look")
    (message,) = bench.qq.sent
    assert message.file is not None
    assert (message.file.file_type, message.text) == (4, "look")
    assert got["status"] == "delivered"


async def test_a_group_that_takes_no_files_gets_the_words(bench: QqBench, tmp_path: Path) -> None:
    bench.qq.fail_always("files:group", Wrong.coded(850026))
    got = await put(bench, laid(tmp_path, PDF, "r.pdf"), text="report", to="group:" + "G" * 32)
    (message,) = bench.qq.sent
    assert message.file is None
    assert message.text.startswith("report\n(r.pdf")
    assert "850026" in got["mediaRefused"][0]["detail"]


async def test_an_upload_whose_answer_is_lost_is_made_again_and_shown_once(
    bench: QqBench, tmp_path: Path
) -> None:
    bench.qq.fail("files:c2c", Wrong.lost_answer(), Wrong.server_error())
    got = await put(bench, laid(tmp_path, PNG, "p.png"), text="look")
    assert (got["status"], got["attempts"]) == ("delivered", 3)
    assert len(bench.qq.sent) == 1


async def test_a_token_refused_in_the_middle_uploads_again(bench: QqBench, tmp_path: Path) -> None:
    await bench.clock.advance(timedelta(minutes=1))  # a token is not asked for twice in 5 s
    bench.qq.platform.revoke(bench.qq.app_id)
    got = await put(bench, laid(tmp_path, PNG, "p.png"), text="look")
    assert (got["status"], got["attempts"]) == ("delivered", 1)


async def test_a_shown_file_whose_answer_is_lost_is_not_shown_again(
    bench: QqBench, tmp_path: Path
) -> None:
    bench.qq.fail("c2c", Wrong.lost_answer())
    got = await put(bench, laid(tmp_path, PNG, "p.png"), text="look")
    assert got["status"] == "unknown"
    assert len(bench.qq.sent) == 1


async def test_a_file_that_is_gone_is_told(bench: QqBench, tmp_path: Path) -> None:
    gone = laid(tmp_path, PDF, "gone.pdf")
    (tmp_path / "gone.pdf").unlink()
    got = await put(bench, gone, text="look")
    assert bench.qq.sent[0].text.startswith("look\n(gone.pdf")
    assert got["mediaRefused"][0]["class"] == "media-refused"


async def test_a_guild_gets_a_link(bench: QqBench) -> None:
    bench.qq.platform.links_allowed = True
    await put(bench, of_url("https://cats.example/cat.png"), text="cat", to="channel:7001")
    (message,) = bench.qq.sent
    assert (message.file, message.text) == (None, "cat\nhttps://cats.example/cat.png")
