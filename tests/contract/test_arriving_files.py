"""Files people send, on every channel that has them: saved, or refused with a reason on record.

channels.md §5: under the state dir, size-capped, name sanitised, nothing from inside; whatever
is wrong with a file, the words it came with are answered.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from engine.config.schema.conversations import MediaKeys
from engine.events import Bus
from engine.messages.media import Media, MediaKind
from engine.shelf import Shelf
from engine.store import audit
from engine.talk.conversation import ChatTurn
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn, Wrong as QqWrong
from engine.testing.telegram import TelegramStandIn, Wrong as TelegramWrong
from gateway.arrivals import reply_route
from gateway.attachments import REFUSED, Attachments
from gateway.channels.base import Channel, Inbound
from gateway.channels.qq.channel import QqChannel
from gateway.channels.telegram.account import TelegramAccount
from gateway.channels.telegram.channel import TelegramChannel
from jobs.store.db import Database
from tests.fakes.qq import qq_bot

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
PDF = b"%PDF-1.7\n" + b"\0" * 64
MOST = 100_000


class Sends(Protocol):
    async def __call__(self, content: bytes, **about: Any) -> None: ...


@dataclass
class House:
    """One channel with its stand-in, and where what comes is kept."""

    channel: Channel
    sends: Sends
    fail: Callable[[Any], None]
    wrong: type[TelegramWrong] | type[QqWrong]
    shelf: Shelf
    db: Database
    arrived: asyncio.Queue[Inbound]

    async def got(self, *, within: timedelta = timedelta(seconds=5)) -> tuple[Media, ...]:
        """The files of the next message, as its agent is told of them."""
        async with asyncio.timeout(5):
            message = await self.arrived.get()
        turn = ChatTurn(
            run_id="in-1",
            agent_id="main",
            session_key="agent:main:main",
            text=message.text,
            route=reply_route(message),
            media=message.media,
        )
        bring = Attachments(
            self.db,
            {self.channel.id: self.channel},
            self.shelf,
            clock=ManualClock(NOON),
            within=within,
        )
        return await bring.bring(turn)

    async def records(self) -> list[dict[str, Any]]:
        notes = await self.db.read(audit.newest)
        return [note for note in notes if note["action"] == REFUSED]


@pytest.fixture(params=["telegram", "qqbot"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    clock, bus, db = ManualClock(NOON), Bus(), await Database.memory()
    shelf, arrived = Shelf(tmp_path / "media"), asyncio.Queue[Inbound]()
    if request.param == "telegram":
        async with TelegramStandIn() as telegram:
            bot = TelegramAccount(
                id="default", token=telegram.token, api_root=telegram.root, media_most=MOST
            )
            channel = TelegramChannel([bot], clock=clock, bus=bus)

            async def send(content: bytes, **about: Any) -> None:
                image = str(about.get("mime", "")).startswith("image/")
                kind = "photo" if image and "name" not in about else "document"
                telegram.user_sends(kind, content, caption=about.pop("text", ""), **about)

            await channel.start(arrived.put)
            yield House(
                channel,
                send,
                lambda wrong: telegram.fail("file", wrong),
                TelegramWrong,
                shelf,
                db,
                arrived,
            )
            await channel.stop()
    else:
        async with QqStandIn(clock=clock) as qq:
            over = QqChannel([replace(qq_bot(qq), media_most=MOST)], clock=clock, bus=bus)

            async def send_over(content: bytes, **about: Any) -> None:
                await qq.user_sends(content, **about)

            await over.start(arrived.put)
            await qq.connected()
            yield House(
                over,
                send_over,
                lambda wrong: qq.fail("file", wrong),
                QqWrong,
                shelf,
                db,
                arrived,
            )
            await over.stop()
    await db.close()


def read(media: Media) -> bytes:
    assert media.path is not None
    return Path(media.path).read_bytes()


def left(house: House) -> list[Path]:
    return [path for path in house.shelf.outgoing.parent.glob("**/*") if path.is_file()]


async def test_a_picture_is_saved_as_what_it_is(house: House) -> None:
    await house.sends(PNG, mime="image/png", text="look")
    (picture,) = await house.got()
    assert read(picture) == PNG
    assert (picture.kind, picture.mime, picture.trouble) == (MediaKind.IMAGE, "image/png", "")
    assert await house.records() == []


async def test_a_document_keeps_its_name(house: House) -> None:
    await house.sends(PDF, name="报告 2026.pdf", mime="application/pdf")
    (paper,) = await house.got()
    assert (paper.name, paper.kind, read(paper)) == ("报告 2026.pdf", MediaKind.FILE, PDF)


@pytest.mark.parametrize(
    "name", ["../../.ssh/authorized_keys", "/etc/cron.d/x", "a\0b\n\u202e.png", "x" * 500]
)
async def test_no_name_leads_out_of_the_folder(house: House, name: str) -> None:
    await house.sends(PDF, name=name, mime="application/pdf")
    (paper,) = await house.got()
    (path,) = left(house)
    assert str(path) == paper.path
    assert path.parent == house.shelf.incoming("main")


HOSTILE: list[tuple[str, Callable[[House], Awaitable[None]], str]] = []


def hostile(why: str) -> Callable[[Callable[[House], Awaitable[None]]], None]:
    def keep(attack: Callable[[House], Awaitable[None]]) -> None:
        HOSTILE.append((attack.__name__, attack, why))

    return keep


@hostile("the most that is taken is")
async def said_to_be_too_large(house: House) -> None:
    await house.sends(PDF, name="big.pdf", size=MOST + 1)


@hostile("100000|97.7|98 KB")
async def larger_than_it_was_said_to_be(house: House) -> None:
    await house.sends(b"x" * (MOST + 1), name="big.bin", size=10)


@hostile("not fetched: RemoteProtocolError")
async def shorter_than_the_server_says(house: House) -> None:
    house.fail(house.wrong.lying(len(PDF) + 50))
    await house.sends(PDF, name="short.pdf")


@hostile("did not come within")
async def a_body_that_trickles(house: House) -> None:
    house.fail(house.wrong(status=200, until=asyncio.Event()))
    await house.sends(PDF, name="slow.pdf")


@hostile("comes compressed")
async def a_bomb(house: House) -> None:
    house.fail(house.wrong.packed(gzip.compress(b"\0" * 1_000_000)))
    await house.sends(PDF, name="bomb.pdf")


@hostile("elsewhere|private network")
async def sent_on_to_the_cloud_s_metadata(house: House) -> None:
    house.fail(house.wrong.elsewhere("http://169.254.169.254/latest/meta-data/"))
    await house.sends(PDF, name="moved.pdf")


@hostile("said to be image")
async def a_script_that_says_it_is_a_picture(house: House) -> None:
    await house.sends(b"#!/bin/sh\nrm -rf /\n", name="cat.png", mime="image/png")


@hostile("empty")
async def nothing_at_all(house: House) -> None:
    await house.sends(b"", name="nothing.txt", size=4)


@hostile("HTTP 500|HTTP 404")
async def a_server_that_fails(house: House) -> None:
    house.fail(house.wrong(status=500, raw=b"no"))
    await house.sends(PDF, name="x.pdf")


@hostile("not fetched")
async def a_connection_that_breaks(house: House) -> None:
    house.fail(house.wrong(status=200, dropped=True))
    await house.sends(PDF, name="x.pdf")


@pytest.mark.parametrize(
    ("attack", "why"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
async def test_a_hostile_file_is_refused_on_record_and_its_words_are_answered(
    house: House, attack: Callable[[House], Awaitable[None]], why: str
) -> None:
    await attack(house)
    (refused,) = await house.got(within=timedelta(seconds=0.5))
    assert refused.path is None
    assert any(part in refused.trouble for part in why.split("|")), refused.trouble
    (note,) = await house.records()
    assert note["subject"] == "in-1"
    assert note["detail"]["because"] == refused.trouble
    assert left(house) == []
    assert "stand-in" not in refused.trouble


async def test_a_file_that_is_refused_keeps_no_other_out(house: House) -> None:
    await house.sends(PDF, name="one.pdf", size=MOST + 1)
    await house.sends(PDF, name="two.pdf")
    assert (await house.got())[0].trouble
    assert not (await house.got())[0].trouble


async def test_files_are_swept_by_the_config(house: House) -> None:
    await house.sends(PDF, name="one.pdf")
    await house.got()
    bring = Attachments(
        house.db,
        {},
        house.shelf,
        clock=ManualClock(NOON + timedelta(days=3650)),
        keys=lambda: MediaKeys(retention="30d"),
    )
    await bring.sweep()
    assert left(house) == []
