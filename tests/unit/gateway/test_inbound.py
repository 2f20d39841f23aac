"""Reception: who is let in, which route is learnt, which turn begins (channels.md §3–§5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.address import ChatType, Route
from engine.conversation import ChatTurn
from engine.store import audit, outbox, sessions
from engine.target import LastRoute, Peer
from engine.testing.clock import ManualClock
from gateway.channels.base import Inbound
from gateway.channels.policy import GroupRule, Policy
from gateway.inbound import Converse, Reception
from jobs.errors import StoreUnavailable
from jobs.store.db import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MAIN = "agent:main:main"
DM = Inbound(
    channel="telegram",
    account_id="default",
    peer=Peer(to="42", thread_id=None, chat_type=ChatType.DIRECT),
    sender_id="42",
    sender_label="Ann",
    message_id="7",
    text="hello",
    at=NOON,
    cursor="1001",
)
GROUP = replace(
    DM,
    peer=Peer(to="-100", thread_id="9", chat_type=ChatType.GROUP),
    chat_type=ChatType.GROUP,
    mentioned=True,
)
IN_GROUP = "agent:main:telegram:group:-100:topic:9"


class Bench:
    """A reception over a store in memory."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = ManualClock(NOON)
        self.policy = Policy(allow_from=("42",), groups={"-100": GroupRule()})
        self.turns: asyncio.Queue[ChatTurn] = asyncio.Queue()
        self.reception = self.make()

    def make(self, dm_scope: str = "main", converse: Converse | None = None) -> Reception:
        return Reception(
            self.db,
            clock=self.clock,
            policy_of=lambda *_: self.policy,
            agent_of=lambda _: "main",
            converse=converse or self.turns.put,
            dm_scope=dm_scope,
        )

    async def route(self, session_key: str = MAIN) -> LastRoute | None:
        return await self.db.read(lambda tx: sessions.route(tx, session_key))


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    db = await Database.memory()
    bench = Bench(db)
    yield bench
    await bench.reception.stop()
    await db.close()


async def test_whoever_is_not_answered_is_named_with_the_way_to_let_them_in(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await bench.reception.admit(replace(DM, sender_id="666"))
    told = caplog.records[-1].__dict__
    assert (told["sender"], told["reason"]) == ("666", "pairing-required")
    assert "a code to be let in was told to them" in told["because"]
    assert told["fix"] == "engine pairing list"


async def test_a_known_person_starts_a_turn_that_answers_where_they_wrote(bench: Bench) -> None:
    await bench.reception.admit(DM)
    turn = await bench.turns.get()
    assert (turn.agent_id, turn.session_key, turn.text) == ("main", MAIN, "hello")
    assert turn.route is not None
    assert (turn.route.channel, turn.route.to, turn.route.via) == ("telegram", "42", "reply")


async def test_an_admitted_direct_message_is_the_last_route(bench: Bench) -> None:
    admission = await bench.reception.admit(DM)
    assert admission.route_set
    route = await bench.route()
    assert route is not None
    assert (route.to, route.set_by, route.set_at, route.unusable) == ("42", "7", NOON, None)
    assert route.peer_label == "Ann"


async def test_the_same_message_is_one_turn(bench: Bench) -> None:
    await bench.reception.admit(DM)
    again = await bench.reception.admit(DM)
    assert (again.reason, again.route_set) == ("duplicate", False)
    assert bench.turns.qsize() <= 1


async def test_the_cursor_is_committed_with_the_message_whatever_became_of_it(
    bench: Bench,
) -> None:
    await bench.reception.admit(replace(DM, sender_id="666"))
    cursor = await bench.db.read(lambda tx: sessions.cursor(tx, "telegram", "default"))
    assert cursor == "1001"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (replace(DM, sender_id="666"), "pairing-required"),
        (replace(GROUP, mentioned=False), "mention-required"),
        (replace(GROUP, sender_id="666"), "sender-not-allowed"),
    ],
)
async def test_a_refused_message_moves_no_route_and_starts_no_turn(
    bench: Bench, message: Inbound, reason: str
) -> None:
    admission = await bench.reception.admit(message)
    assert (admission.reason, admission.route_set) == (reason, False)
    assert await bench.route(admission.session_key) is None
    assert bench.turns.empty()


async def test_a_stranger_is_recorded_with_the_reason(bench: Bench) -> None:
    await bench.reception.admit(replace(DM, sender_id="666"))
    (line,) = await bench.db.read(audit.newest)
    assert (line["actor"], line["action"]) == ("telegram:666", "inbound.refused")
    stranger = await bench.db.read(audit.last_stranger)
    assert stranger is not None
    assert (stranger.channel, stranger.sender_id) == ("telegram", "666")
    assert line["detail"]["reason"] == "pairing-required"


async def test_writing_again_makes_a_route_usable_again(bench: Bench) -> None:
    await bench.reception.admit(DM)
    spoilt = Route(channel="telegram", account_id="default", to="42")
    await bench.db.write(lambda tx: sessions.mark_unusable(tx, spoilt, "blocked", NOON))
    before = await bench.route()
    assert before is not None
    assert before.unusable == "blocked"
    await bench.reception.admit(replace(DM, message_id="8"))
    after = await bench.route()
    assert after is not None
    assert after.unusable is None


async def test_a_group_moves_its_own_route_and_never_the_main_one(bench: Bench) -> None:
    await bench.reception.admit(GROUP)
    assert await bench.route() is None
    route = await bench.route(IN_GROUP)
    assert route is not None
    assert (route.to, route.thread_id) == ("-100", "9")


async def test_a_guest_talks_and_does_not_become_the_route(bench: Bench) -> None:
    bench.policy = Policy(allow_from=("42",), paired=("7",))
    guest = replace(DM, sender_id="7", peer=Peer(to="7", chat_type=ChatType.DIRECT))
    admission = await bench.reception.admit(guest)
    assert (admission.reason, admission.route_set) == (None, False)
    assert await bench.route() is None


async def test_an_old_message_moves_the_route_and_starts_no_turn(bench: Bench) -> None:
    admission = await bench.reception.admit(replace(DM, at=NOON - timedelta(hours=7)))
    assert (admission.reason, admission.route_set) == ("backlog", True)
    assert bench.turns.empty()


async def test_a_session_of_its_own_per_peer_learns_its_own_route(bench: Bench) -> None:
    bench.reception = bench.make("per-channel-peer")
    admission = await bench.reception.admit(DM)
    assert admission.session_key == "agent:main:telegram:direct:42"
    assert await bench.route(admission.session_key) is not None


async def test_the_run_of_a_message_is_always_the_same(bench: Bench) -> None:
    first = bench.make()
    await first.admit(DM)
    await first.admit(replace(DM, message_id="8"))
    runs = {(await bench.turns.get()).run_id, (await bench.turns.get()).run_id}
    assert len(runs) == 2


async def test_a_turn_that_breaks_is_told_to_the_person_who_waits_for_it(bench: Bench) -> None:
    async def breaks(turn: ChatTurn) -> None:
        raise ValueError("a bug of ours")

    reception = bench.make(converse=breaks)
    await reception.admit(DM)
    await reception.stop()
    (told,) = await bench.db.read(lambda tx: outbox.ready(tx, NOON, 10))
    assert told.route.to == "42"
    assert told.text.startswith("I could not answer")
    assert await bench.db.read(sessions.owed_turns) == []


async def test_a_turn_the_store_refused_is_taken_again_when_it_does_not(bench: Bench) -> None:
    refusals = [StoreUnavailable("the state database cannot be used", why="disk i/o error")]

    async def refused_once(turn: ChatTurn) -> None:
        if refusals:
            raise refusals.pop()
        await bench.turns.put(turn)

    reception = bench.make(converse=refused_once)
    await reception.admit(DM)
    await bench.clock.advance(timedelta(seconds=10))
    assert bench.turns.qsize() == 1
    await reception.stop()
    assert await bench.db.read(sessions.owed_turns) == []
