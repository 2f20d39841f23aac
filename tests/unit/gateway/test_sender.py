"""The sender: what is committed when, who waits for whom, what a restart repeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from engine.events import Bus, Event as BusEvent
from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority, State
from engine.messages.outbox import Event
from engine.messages.target import LastRoute
from engine.store import outbox, sessions
from engine.testing.clock import ManualClock
from engine.vitals import Vitals
from gateway.channels.attempts import MAY_REPEAT
from gateway.channels.base import Fault, FaultClass
from gateway.sender import Sender
from jobs.errors import StoreUnavailable
from jobs.store.db import Database, Work
from tests.fakes.scripted_channel import ScriptedChannel

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
S = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
T = TypeVar("T")


class Bench:
    """A sender over a store in memory, with the clock in the test's hand."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = ManualClock(NOON)
        self.bus = Bus()
        self.events: list[Mapping[str, Any]] = []
        self.bus.listen(self._note)
        self.channel = ScriptedChannel(self.clock)
        self.vitals = Vitals()
        self.sender = self.make()

    def make(self, *, resend: bool = False) -> Sender:
        return Sender(
            self.db,
            {"telegram": self.channel},
            clock=self.clock,
            bus=self.bus,
            resend_unknown=lambda _: resend,
            vitals=self.vitals,
        )

    def _note(self, event: BusEvent) -> None:
        if event.name == "outbox":
            self.events.append(event.payload)

    async def put(self, *deliveries: Delivery) -> None:
        await self.db.write(lambda tx: [outbox.add(tx, each) for each in deliveries])
        self.sender.poke()

    async def stored(self, key: str) -> Delivery:
        found = await self.db.read(lambda tx: outbox.get(tx, key))
        assert found is not None
        return found

    async def settle(self, by: timedelta = timedelta()) -> None:
        await self.clock.advance(by, settle=60)


def message(key: str, *, to: str = "42", text: str = "", **more: Any) -> Delivery:
    kind = more.pop("kind", "cron")
    return Delivery(
        key=key,
        route=Route(channel="telegram", account_id=more.pop("account", "default"), to=to),
        text=text or key,
        kind=kind,
        created_at=more.pop("created_at", NOON),
        expires_at=more.pop("expires_at", NOON + HOUR),
        **more,
    )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    db = await Database.memory()
    bench = Bench(db)
    yield bench
    await bench.sender.stop()
    await db.close()


async def test_a_queued_message_is_sent_and_has_its_receipt(bench: Bench) -> None:
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle()
    done = await bench.stored("a")
    assert done.state is State.DELIVERED
    assert (done.message_ids, done.attempts, done.chunks) == (("m1",), 1, ("a",))
    assert [event["state"] for event in bench.events] == ["sending", "delivered"]


async def test_sending_is_committed_before_the_request_leaves(bench: Bench) -> None:
    gate = asyncio.Event()
    bench.channel.script["42"].append(gate)
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle()
    assert bench.channel.texts() == ["a"]
    assert (await bench.stored("a")).state is State.SENDING
    gate.set()
    await bench.settle()
    assert (await bench.stored("a")).state is State.DELIVERED


async def test_one_lane_is_in_order_and_does_not_delay_another(bench: Bench) -> None:
    bench.channel.script["1"].append(Fault(fault=FaultClass.SERVER, code="500"))
    await bench.put(
        message("a", to="1"),
        message("b", to="1", created_at=NOON + timedelta(milliseconds=1)),
        message("c", to="2", created_at=NOON + timedelta(milliseconds=2)),
    )
    await bench.sender.start()
    await bench.settle()
    assert bench.channel.texts() == ["a", "c"]
    await bench.settle(10 * S)
    assert bench.channel.texts() == ["a", "c", "a", "b"]


async def test_a_later_of_the_platform_is_kept_and_others_go_on(bench: Bench) -> None:
    bench.channel.script["1"].append(Fault(fault=FaultClass.RATE_LIMITED, retry_after_seconds=3))
    await bench.put(message("a", to="1"), message("b", to="2"))
    await bench.sender.start()
    await bench.settle(20 * S)
    times = [at - NOON for at, attempt in bench.channel.attempts if attempt.key == "a"]
    assert times[1] >= 3 * S
    assert [at - NOON for at, attempt in bench.channel.attempts if attempt.key == "b"] == [0 * S]
    assert (await bench.stored("a")).state is State.DELIVERED


async def test_a_long_message_arrives_in_parts_each_once(bench: Bench) -> None:
    text = "first part of it that is long\n\nsecond part of it that is long"
    bench.channel.script["42"].extend([Fault(fault=FaultClass.SERVER)])
    await bench.put(message("a", text=text))
    await bench.sender.start()
    await bench.settle(10 * S)
    done = await bench.stored("a")
    assert done.state is State.DELIVERED
    assert len(done.message_ids) == len(done.chunks) == 2
    first, second = done.chunks
    assert bench.channel.texts() == [first, first, second]


@pytest.mark.parametrize(
    ("fault", "state", "reason"),
    [
        (FaultClass.BLOCKED, State.FAILED, "blocked"),
        (FaultClass.CONTENT_REJECTED, State.FAILED, "content-rejected"),
        (FaultClass.NETWORK_AMBIGUOUS, State.UNKNOWN, "network-ambiguous"),
        (FaultClass.DUPLICATE, State.DELIVERED, None),
    ],
)
async def test_a_permanent_fault_ends_it_with_its_reason(
    bench: Bench,
    fault: FaultClass,
    state: State,
    reason: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench.channel.script["42"].append(Fault(fault=fault, code="1", detail="said so"))
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle(HOUR)
    done = await bench.stored("a")
    assert (done.state, done.reason or None) == (state, reason)
    assert len(bench.channel.attempts) == 1
    lost = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(lost) == (state is not State.DELIVERED)  # one line for whoever watches
    assert all("said so" in one.__dict__["because"] for one in lost)


async def test_a_person_who_blocked_us_spoils_the_route(bench: Bench) -> None:
    route = LastRoute(
        agent_id="main",
        session_key="agent:main:main",
        channel="telegram",
        account_id="default",
        to="42",
        set_at=NOON,
        set_by="1",
    )
    await bench.db.write(lambda tx: sessions.set_route(tx, route))
    bench.channel.script["42"].append(Fault(fault=FaultClass.BLOCKED))
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle()
    spoilt = await bench.db.read(lambda tx: sessions.route(tx, "agent:main:main"))
    assert spoilt is not None
    assert spoilt.unusable == "blocked"


async def test_markup_the_platform_cannot_read_is_sent_plain(bench: Bench) -> None:
    bench.channel.script["42"].append(Fault(fault=FaultClass.FORMAT))
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle(5 * S)
    assert [attempt.plain for _, attempt in bench.channel.attempts] == [False, True]
    assert (await bench.stored("a")).notes["formatFallback"] is True


async def test_a_chunk_that_is_too_long_is_cut_again(bench: Bench) -> None:
    bench.channel.script["42"].append(Fault(fault=FaultClass.TOO_LONG))
    await bench.put(message("a", text="twenty words and more in here"))
    await bench.sender.start()
    await bench.settle(10 * S)
    assert len((await bench.stored("a")).message_ids) == 2


async def test_what_ran_out_of_time_is_never_sent(bench: Bench) -> None:
    await bench.put(message("a", expires_at=NOON))
    await bench.sender.start()
    await bench.settle()
    assert (await bench.stored("a")).state is State.EXPIRED
    assert bench.channel.attempts == []


async def test_retries_end_with_the_expiry(bench: Bench) -> None:
    bench.channel.script["42"].extend([Fault(fault=FaultClass.SERVER)] * 100)
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle(2 * HOUR)
    done = await bench.stored("a")
    assert done.state is State.EXPIRED
    assert done.ended_at == NOON + HOUR


async def test_a_blank_message_is_suppressed_and_says_so(bench: Bench) -> None:
    await bench.put(message("a", text=" \n "))
    await bench.sender.start()
    await bench.settle()
    done = await bench.stored("a")
    assert (done.state, done.reason) == (State.FAILED, "suppressed: empty")


@pytest.mark.parametrize(
    ("account", "enabled", "reason"),
    [("nobody", True, "unknown-account"), ("default", False, "account-disabled")],
)
async def test_an_account_that_cannot_send_refuses_at_once(
    bench: Bench, account: str, enabled: bool, reason: str
) -> None:
    bench.channel.enabled = enabled
    await bench.put(message("a", account=account))
    await bench.sender.start()
    await bench.settle()
    done = await bench.stored("a")
    assert (done.state, done.reason) == (State.FAILED, reason)


async def test_a_channel_that_is_not_connected_is_waited_for(bench: Bench) -> None:
    bench.channel.runtime = "auth-failed"
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle(S)
    assert (await bench.stored("a")).state is State.QUEUED
    bench.channel.runtime = "connected"
    bench.bus.publish("channel", {"channel": "telegram", "runtime": "connected"})
    await bench.settle()
    assert (await bench.stored("a")).state is State.DELIVERED


async def test_a_message_that_waits_for_a_channel_says_what_for(bench: Bench) -> None:
    bench.channel.runtime, bench.channel.last_error = "auth-failed", "auth: 401 Unauthorized"
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle(S)
    waiting = await bench.stored("a")
    assert (waiting.state, waiting.attempts) == (State.QUEUED, 0)
    assert waiting.last_error == {"class": "auth", "code": "", "detail": "401 Unauthorized"}
    bench.channel.runtime, bench.channel.last_error = "connected", None
    await bench.settle(timedelta(minutes=1))
    done = await bench.stored("a")
    assert (done.state, done.last_error) == (State.DELIVERED, None)


async def test_a_channel_that_never_comes_lets_it_expire(bench: Bench) -> None:
    bench.channel.runtime = "auth-failed"
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle(2 * HOUR)
    assert (await bench.stored("a")).state is State.EXPIRED


async def test_pacing_holds_across_lanes(bench: Bench) -> None:
    await bench.put(*(message(f"k{n}", to=str(n)) for n in range(1, 41)))
    await bench.sender.start()
    await bench.settle(5 * S)
    times = [at - NOON for at, _ in bench.channel.attempts]
    assert len(times) == 40
    assert sum(1 for at in times if at < S) == 30


async def test_a_reply_goes_before_a_heartbeat_when_not_all_can(bench: Bench) -> None:
    beats = [message(f"b{n}", to=str(n), priority=Priority.HEARTBEAT) for n in range(1, 31)]
    later = NOON + timedelta(milliseconds=1)
    reply = message("reply", to="99", priority=Priority.REPLY, created_at=later)
    await bench.put(*beats, reply)
    await bench.sender.start()
    await bench.settle()
    assert "reply" in bench.channel.texts()


async def in_flight(bench: Bench, key: str) -> None:
    """Leave a row as a process does that died around its request."""
    await bench.put(message(key))
    await bench.db.write(
        lambda tx: outbox.move(tx, key, Event.ATTEMPT, NOON, attempts=1, chunks=(key,))
    )


async def test_after_a_crash_a_send_that_may_have_arrived_is_unknown(bench: Bench) -> None:
    await in_flight(bench, "a")
    await bench.sender.start()
    await bench.settle(HOUR)
    done = await bench.stored("a")
    assert (done.state, done.reason) == (State.UNKNOWN, "interrupted")
    assert bench.channel.attempts == []


async def test_after_a_crash_an_idempotent_send_is_repeated(bench: Bench) -> None:
    bench.channel = ScriptedChannel(bench.clock, idempotent=True)
    bench.sender = bench.make()
    await in_flight(bench, "a")
    await bench.sender.start()
    await bench.settle()
    assert bench.channel.texts() == ["a"]
    assert (await bench.stored("a")).state is State.DELIVERED


async def test_a_repeat_that_was_asked_for_is_marked(bench: Bench) -> None:
    bench.sender = bench.make(resend=True)
    await in_flight(bench, "a")
    await bench.sender.start()
    await bench.settle()
    assert bench.channel.texts() == ["a" + MAY_REPEAT]


async def test_a_bug_in_a_channel_is_recorded_and_harms_no_other(bench: Bench) -> None:
    bench.channel.script["1"].append(ValueError("a bug"))
    await bench.put(message("a", to="1"), message("b", to="2"))
    await bench.sender.start()
    await bench.settle(S)
    assert (await bench.stored("a")).state is State.UNKNOWN
    assert (await bench.stored("b")).state is State.DELIVERED


@pytest.mark.parametrize(
    ("idempotent", "state", "reason"),
    [(False, State.UNKNOWN, "network-ambiguous"), (True, State.QUEUED, None)],
)
async def test_what_a_stop_cuts_off_says_so_at_once(
    bench: Bench, idempotent: bool, state: State, reason: str | None
) -> None:
    bench.channel = ScriptedChannel(bench.clock, idempotent=idempotent)
    bench.sender = bench.make()
    bench.channel.script["42"].append(asyncio.Event())
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle()
    assert (await bench.stored("a")).state is State.SENDING
    await bench.sender.stop(timedelta())
    left = await bench.stored("a")
    assert (left.state, left.reason) == (state, reason)
    assert left.last_error is not None
    assert "stopped before the platform answered" in left.last_error["detail"]


async def test_stopping_lets_what_is_in_flight_finish(bench: Bench) -> None:
    gate = asyncio.Event()
    bench.channel.script["42"].append(gate)
    await bench.put(message("a"), replace(message("b"), created_at=NOON + S))
    await bench.sender.start()
    await bench.settle()
    stopping = asyncio.create_task(bench.sender.stop())
    await bench.settle()
    gate.set()
    await stopping
    assert (await bench.stored("a")).state is State.DELIVERED
    assert (await bench.stored("b")).state is State.QUEUED


class Disk(Database):
    """A store in memory on a disk that may be full."""

    full = False

    async def write(self, work: Work[T]) -> T:
        if self.full:
            raise StoreUnavailable("the state database cannot be used", why="disk is full")
        return await super().write(work)


async def test_what_arrived_while_the_disk_was_full_is_recorded_and_not_sent_again() -> None:
    inner = await Database.memory()
    disk = Disk(inner)
    bench = Bench(disk)
    gate = asyncio.Event()
    bench.channel.script["42"].append(gate)
    await bench.put(message("a"))
    await bench.sender.start()
    await bench.settle()
    disk.full = True
    gate.set()
    await bench.settle(5 * MINUTE)
    assert "disk is full" in bench.vitals.failing["store"]
    disk.full = False
    await bench.settle(MINUTE)
    assert (await bench.stored("a")).state is State.DELIVERED
    assert len(bench.channel.attempts) == 1
    assert bench.vitals.failing == {}
    await bench.sender.stop()
    await inner.close()


async def test_a_message_due_on_a_full_disk_waits_where_it_stands() -> None:
    inner = await Database.memory()
    disk = Disk(inner)
    bench = Bench(disk)
    await bench.put(message("a"))
    disk.full = True
    await bench.sender.start()
    await bench.settle(2 * MINUTE)
    assert bench.channel.attempts == []
    disk.full = False
    await bench.settle(MINUTE)
    assert (await bench.stored("a")).state is State.DELIVERED
    await bench.sender.stop()
    await inner.close()
