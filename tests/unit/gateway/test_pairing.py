"""Strangers: one code each, an hour long, three at a time, for one account (channels.md §3.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.config.load import load
from engine.config.paths import resolve
from engine.messages.address import ChatType
from engine.messages.delivery import Delivery
from engine.messages.target import Peer
from engine.messages.unheard import Unheard
from engine.store import outbox
from engine.testing.clock import ManualClock
from gateway.channels.base import Inbound
from gateway.channels.policy import GroupRule, Policy
from gateway.inbound import Reception
from gateway.owner import OwnerBook
from gateway.pairing import ALPHABET, Pairings, new_code
from jobs.errors import InvalidInput, NotFound
from jobs.store.db import Database
from jobs.wallclock import ms

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HELLO = Inbound(
    channel="telegram",
    account_id="default",
    peer=Peer(to="42", chat_type=ChatType.DIRECT),
    sender_id="42",
    sender_label="@ann",
    message_id="1",
    text="hello",
    at=NOON,
)


class Bench:
    """A reception and the desk of pairings over one store."""

    def __init__(self, db: Database) -> None:
        self.db, self.clock = db, ManualClock(NOON)
        self.policy = Policy()
        self.pokes = 0
        self.number = 0
        self.pairings = Pairings(db, self.clock, self.poke)
        self.reception = Reception(
            db,
            clock=self.clock,
            policy_of=lambda *_: self.policy,
            agent_of=lambda _: "main",
            converse=self.nothing,
            poke=self.poke,
        )

    def poke(self) -> None:
        self.pokes += 1

    async def nothing(self, _: object) -> None:
        return None

    async def writes(self, sender: str = "42", **more: object) -> Unheard | None:
        """Let somebody write; returns why they were not heard."""
        self.number += 1
        message = replace(
            HELLO,
            sender_id=sender,
            peer=Peer(to=sender, chat_type=ChatType.DIRECT),
            message_id=str(self.number),
            at=self.clock.now(),
            **more,  # type: ignore[arg-type]  # fields of the message
        )
        return (await self.reception.admit(message)).reason

    async def told(self) -> list[Delivery]:
        """What was said to strangers, oldest first."""
        found, _ = await self.db.read(lambda tx: outbox.page(tx))
        return list(reversed(found))

    async def codes(self) -> list[str]:
        listed = await self.pairings.listing(None, None)
        return [one["code"] for one in listed["requests"]]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    db = await Database.memory()
    bench = Bench(db)
    yield bench
    await bench.reception.stop()
    await db.close()


def test_a_code_has_eight_characters_nobody_misreads_and_is_nobody_elses() -> None:
    seen: list[str] = []

    def taken(code: str) -> bool:
        seen.append(code)
        return len(seen) < 3

    code = new_code(taken)
    assert seen[-1] == code
    assert len(seen) == 3
    assert len(code) == 8
    assert set(code) <= set(ALPHABET)
    assert not set("IO01") & set(ALPHABET)


async def test_a_stranger_is_told_a_code_once_and_not_heard(bench: Bench) -> None:
    assert await bench.writes() is Unheard.PAIRING_REQUIRED
    assert await bench.writes() is Unheard.PAIRING_REQUIRED
    (said,) = await bench.told()
    (code,) = await bench.codes()
    assert said.route.to == "42"
    assert f"engine pairing approve telegram {code}" in said.text
    assert bench.pokes == 1


async def test_whoever_is_let_in_is_told_and_heard_from_then_on(bench: Bench) -> None:
    await bench.writes()
    (code,) = await bench.codes()
    done = await bench.pairings.approve("tg", f" {code.lower()} ", "rpc:test")
    assert (done["alreadyApproved"], done["firstEver"]) == (False, True)
    assert (done["owner"], done["label"]) == ("telegram:42", "@ann")
    assert "let in" in (await bench.told())[-1].text
    assert await bench.writes() is None
    assert await bench.codes() == []


async def test_approving_twice_at_once_lets_in_once(bench: Bench) -> None:
    await bench.writes()
    (code,) = await bench.codes()
    both = await asyncio.gather(
        *(bench.pairings.approve("telegram", code, f"rpc:{n}") for n in range(2))
    )
    assert sorted(one["alreadyApproved"] for one in both) == [False, True]
    assert len(await bench.told()) == 2


async def test_only_the_first_one_ever_is_the_first_one(bench: Bench) -> None:
    for sender in ("42", "43"):
        await bench.writes(sender)
    first, second = await bench.codes()
    assert (await bench.pairings.approve("telegram", first, "x"))["firstEver"] is True
    assert (await bench.pairings.approve("telegram", second, "x"))["firstEver"] is False


async def test_the_fourth_who_waits_is_not_answered_until_one_lapses(bench: Bench) -> None:
    for sender in ("1", "2", "3", "4"):
        await bench.writes(sender)
    assert len(await bench.codes()) == len(await bench.told()) == 3
    await bench.writes("5", account_id="other")  # the limit is an account's
    assert len(await bench.codes()) == 4
    await bench.clock.advance(HOUR)
    await bench.writes("4")
    assert len(await bench.codes()) == 1


async def test_a_code_is_dead_after_an_hour(bench: Bench) -> None:
    await bench.writes()
    (code,) = await bench.codes()
    await bench.clock.advance(HOUR - timedelta(seconds=1))
    assert await bench.codes() == [code]
    await bench.clock.advance(timedelta(seconds=2))
    assert await bench.codes() == []
    with pytest.raises(NotFound, match="nobody waits"):
        await bench.pairings.approve("telegram", code, "x")
    assert await bench.writes() is Unheard.PAIRING_REQUIRED
    (fresh,) = await bench.codes()
    assert fresh != code


async def test_whoever_is_let_in_on_one_account_is_a_stranger_on_another(bench: Bench) -> None:
    await bench.writes()
    (code,) = await bench.codes()
    await bench.pairings.approve("telegram", code, "x")
    assert await bench.writes(account_id="other") is Unheard.PAIRING_REQUIRED
    assert await bench.writes() is None


async def test_a_rejected_stranger_may_ask_again_and_a_known_one_is_out(bench: Bench) -> None:
    await bench.writes()
    (code,) = await bench.codes()
    await bench.pairings.reject("telegram", code, "x")
    assert await bench.codes() == []
    await bench.writes()
    (code,) = await bench.codes()
    await bench.pairings.approve("telegram", code, "x")
    assert await bench.writes() is None
    await bench.pairings.reject("telegram", code, "x")
    assert await bench.writes() is Unheard.PAIRING_REQUIRED


@pytest.mark.parametrize(
    ("policy", "heard"),
    [
        (Policy(dm="pairing"), True),
        (Policy(dm="allowlist", allow_from=("7",)), True),
        (Policy(dm="open", allow_from=("7",)), False),
        (Policy(dm="disabled"), False),
    ],
)
async def test_the_allow_store_counts_under_every_policy_but_open_and_disabled(
    bench: Bench, policy: Policy, heard: bool
) -> None:
    await bench.writes()
    (code,) = await bench.codes()
    await bench.pairings.approve("telegram", code, "x")
    bench.policy = policy
    assert (await bench.writes() is None) is heard


@pytest.mark.parametrize("dm", ["allowlist", "open", "disabled"])
async def test_only_pairing_tells_codes(bench: Bench, dm: str) -> None:
    bench.policy = Policy(dm=dm)
    await bench.writes()
    assert await bench.told() == []


async def test_a_stranger_in_a_group_never_gets_a_code_and_a_code_lets_into_no_group(
    bench: Bench,
) -> None:
    bench.policy = Policy(groups={"-100": GroupRule()})
    group = {"peer": Peer(to="-100", chat_type=ChatType.GROUP)}

    async def in_group() -> Unheard | None:
        bench.number += 1
        message = replace(
            HELLO,
            peer=group["peer"],
            chat_type=ChatType.GROUP,
            mentioned=True,
            message_id=str(bench.number),
        )
        return (await bench.reception.admit(message)).reason

    assert await in_group() is Unheard.SENDER_NOT_ALLOWED
    assert await bench.told() == []
    await bench.writes()
    (code,) = await bench.codes()
    await bench.pairings.approve("telegram", code, "x")
    assert await in_group() is Unheard.SENDER_NOT_ALLOWED


async def test_a_list_is_of_one_channel_or_account(bench: Bench) -> None:
    await bench.writes("1")
    await bench.writes("2", account_id="other")
    listed = await bench.pairings.listing("tg", "other")
    assert [one["peer"] for one in listed["requests"]] == ["2"]
    assert (await bench.pairings.listing("qq", None))["requests"] == []
    with pytest.raises(InvalidInput, match="unknown channel"):
        await bench.pairings.listing("fax", None)


def _book(tmp_path: Path) -> tuple[OwnerBook, Path]:
    paths = resolve({"ENGINE_STATE_DIR": str(tmp_path)})
    book = OwnerBook(paths, {}, clock=ManualClock(NOON), loaded=lambda: load(paths.config, {}))
    return book, paths.config


async def test_the_first_one_ever_let_in_is_the_owner_if_there_is_none(
    bench: Bench, tmp_path: Path
) -> None:
    book, file = _book(tmp_path)
    file.write_text("{ // mine\n  gateway: { mode: 'local' } }")
    desk = Pairings(bench.db, bench.clock, bench.poke, book.write)
    await bench.writes()
    await bench.writes("43")
    first, second = await bench.codes()
    done = await desk.approve("telegram", first, "test")
    assert done["madeOwner"] is True
    assert (done["approvedAtMs"], done["expiresAtMs"]) == (ms(NOON), None)
    assert (await desk.approve("telegram", first, "test"))["madeOwner"] is False
    assert (await desk.approve("telegram", second, "test"))["madeOwner"] is False
    assert load(file, {}).config.commands.owner_allow_from == (done["owner"],)
    assert "// mine" in file.read_text()


@pytest.mark.parametrize(
    "text", ["{ commands: { ownerAllowFrom: ['tg:1'] } }", "{ commands: { ownerAllowFrom: 1 } }"]
)
async def test_an_owner_who_is_there_stays_and_a_file_that_is_broken_keeps_nobody_out(
    bench: Bench, tmp_path: Path, text: str
) -> None:
    book, file = _book(tmp_path)
    file.write_text("{}")
    good = load(file, {})
    file.write_text(text)
    there = "tg:1" in text
    book = OwnerBook(
        resolve({"ENGINE_STATE_DIR": str(tmp_path)}),
        {},
        clock=ManualClock(NOON),
        loaded=lambda: load(file, {}) if there else good,
    )
    desk = Pairings(bench.db, bench.clock, bench.poke, book.write)
    await bench.writes()
    (code,) = await bench.codes()
    assert (await desk.approve("telegram", code, "test"))["madeOwner"] is False
    assert file.read_text() == text
    assert await bench.writes() is None  # let in all the same
