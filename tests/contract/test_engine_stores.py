"""What the engine's own tables promise, on every store: events, sessions, outbox, tasks, facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from engine.decisions.asked import Answer, Question
from engine.decisions.wake import NewEvent, QueuedEvent, TakenEvent
from engine.messages.address import ChatType, Route
from engine.messages.delivery import Delivery, Priority, State
from engine.messages.kept import Kept, Stage
from engine.messages.media import Media, MediaKind
from engine.messages.outbox import Event
from engine.messages.repetition import Sent
from engine.messages.target import LastRoute
from engine.sessions import Message
from engine.store import (
    approvals,
    audit,
    events,
    inbox,
    kept as kept_rows,
    meta,
    outbox,
    sent,
    sessions,
    tasks,
)
from engine.store.kept import KeptQuery
from jobs.store.db import Database, Tx

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MAIN = "agent:main:main"
ADA = Route(channel="telegram", account_id="default", to="42", chat_type=ChatType.DIRECT)


# -- system events (heartbeat.md §15) ------------------------------------------------------


async def tell(store: Database, text: str, *, at: datetime = NOON, **more: Any) -> str | None:
    key = more.pop("session_key", MAIN)
    event = new_event(text, **more)
    return await store.write(
        lambda tx: events.add(tx, event, agent_id="main", session_key=key, now=at)
    )


def new_event(text: str, **more: Any) -> NewEvent:
    return NewEvent(**{"text": text, "mode": "next-heartbeat", "source": "test", "by": "me"} | more)


async def pending(store: Database, at: datetime = NOON, key: str = MAIN) -> list[QueuedEvent]:
    return await store.read(lambda tx: events.pending(tx, "main", key, at))


async def waiting(store: Database, at: datetime = NOON, key: str = MAIN) -> list[str]:
    return [event.text for event in await pending(store, at, key)]


async def test_an_event_waits_with_everything_it_came_with(store: Database) -> None:
    ref = await tell(
        store,
        "  disk full ",
        context_key=" Cron:Backup ",
        route=ADA,
        trusted=False,
        mode="now",
        expires_at=NOON + HOUR,
    )
    (event,) = await pending(store)
    assert event == QueuedEvent(
        id=ref or "",
        agent_id="main",
        session_key=MAIN,
        text="disk full",
        source="test",
        created_at=NOON,
        context_key="cron:backup",
        route=ADA,
        trusted=False,
        wake="now",
        expires_at=NOON + HOUR,
    )


async def test_events_wait_in_the_order_they_came(store: Database) -> None:
    """Also within one millisecond, where their ids do not tell."""
    texts = [f"e{n}" for n in range(20)]
    for text in texts:
        await tell(store, text)
    assert await waiting(store) == texts


async def test_a_blank_event_is_not_queued(store: Database) -> None:
    assert await tell(store, "  \n ") is None
    assert await store.read(events.count) == 0


async def test_a_repetition_of_the_newest_is_the_same_event(store: Database) -> None:
    first = await tell(store, "a")
    assert await tell(store, " a ") == first
    await tell(store, "b")
    assert await tell(store, "a") != first
    assert await waiting(store) == ["a", "b", "a"]


async def test_with_a_context_a_repetition_is_found_anywhere(store: Database) -> None:
    first = await tell(store, "a", context_key="node:1")
    await tell(store, "b")
    assert await tell(store, "a", context_key="NODE:1") == first
    assert await tell(store, "a", context_key="node:1", route=ADA) != first


async def test_events_of_one_key_are_one_while_it_waits(store: Database) -> None:
    first = await tell(store, "disk at 91 %", dedupe_key="disk")
    await tell(store, "it rains")
    assert await tell(store, "disk at 92 %", dedupe_key=" disk ") == first
    other = await tell(store, "disk at 92 %", dedupe_key="other")
    assert other != first
    assert await tell(store, "disk at 92 %", dedupe_key="third") not in (first, other)
    await store.write(lambda tx: events.consume(tx, [str(first)], NOON))
    assert await tell(store, "disk at 93 %", dedupe_key="disk") not in (first, other)


async def test_a_repetition_that_asks_for_a_beat_asks_for_it_after_a_restart_too(
    store: Database,
) -> None:
    first = await tell(store, "disk at 91 %", dedupe_key="disk")
    assert await tell(store, "disk at 92 %", dedupe_key="disk", mode="now") == first
    waking = await store.read(lambda tx: events.waking(tx, NOON))
    assert [event.id for event in waking] == [first]


async def test_an_event_may_take_the_place_of_what_waits_about_the_same(store: Database) -> None:
    first = await tell(store, "build 7 is red", context_key="build", mode="now")
    other = await tell(store, "it rains", context_key="weather")
    again = await tell(store, "build 8 is red", context_key=" Build ", replaces=True)
    waiting = await store.read(lambda tx: events.pending(tx, "main", MAIN, NOON))
    assert [event.id for event in waiting] == [other, again]
    assert waiting[1].wake == "now"  # the older asked for a beat, and had none
    assert await tell(store, "build 8 is red", context_key="build", replaces=True) == again
    assert first not in (other, again)


async def test_it_is_known_which_turn_took_an_event_up_before_a_beat_could(store: Database) -> None:
    early, late, other, _ = [
        await tell(store, text) or "" for text in ("early", "late", "other", "waits")
    ]
    for event, at, run in ((early, NOON, "chat-1"), (late, NOON + SECOND, "chat-2")):
        await store.write(partial(events.consume, event_ids=[event], now=at, run_id=run))
    await store.write(lambda tx: events.consume(tx, [other], NOON + SECOND))  # dropped

    def since(at: datetime) -> Callable[[Tx], tuple[TakenEvent, ...]]:
        return partial(events.taken_by_turns, agent_id="main", session_key=MAIN, since=at)

    both = await store.read(since(NOON))
    assert [(one.id, one.run_id) for one in both] == [(early, "chat-1"), (late, "chat-2")]
    assert [one.run_id for one in await store.read(since(NOON + SECOND))] == ["chat-2"]


async def test_a_consumed_event_is_gone_and_may_come_again(store: Database) -> None:
    first = await tell(store, "a")
    await store.write(lambda tx: events.consume(tx, [first or ""], NOON, run_id="r1"))
    assert await waiting(store) == []
    assert await tell(store, "a") != first
    kept = await store.read(lambda tx: events.get(tx, first or ""))
    assert kept is not None
    assert kept.seen_by_run == "r1"


async def test_events_of_one_session_are_not_anothers(store: Database) -> None:
    await tell(store, "mine")
    await tell(store, "theirs", session_key="agent:main:other")
    assert await waiting(store) == ["mine"]
    assert await waiting(store, key="agent:main:other") == ["theirs"]


async def test_an_event_runs_out(store: Database) -> None:
    await tell(store, "soon stale", expires_at=NOON + HOUR)
    assert await waiting(store, NOON + HOUR) == []


async def test_events_that_asked_for_a_beat_ask_again_after_a_restart(store: Database) -> None:
    await tell(store, "patient")
    await tell(store, "urgent", mode="now")
    await tell(store, "stale", mode="now", expires_at=NOON + SECOND)
    found = await store.read(lambda tx: events.waking(tx, NOON + SECOND))
    assert [event.text for event in found] == ["urgent"]


async def test_beyond_the_cap_the_oldest_go_and_their_number_is_told_first(
    store: Database,
) -> None:
    def flood(tx: Any) -> None:
        for number in range(events.MOST + 50):
            event = new_event(f"e{number}")
            events.add(tx, event, agent_id="main", session_key=MAIN, now=NOON)

    await store.write(flood)
    texts = await waiting(store)
    assert len(texts) == events.MOST
    assert texts[0] == "51 older events omitted"
    assert texts[1:] == [f"e{number}" for number in range(51, events.MOST + 50)]


async def test_old_events_are_pruned_and_waiting_ones_kept(store: Database) -> None:
    first = await tell(store, "done")
    await tell(store, "waits")
    await store.write(lambda tx: events.consume(tx, [first or ""], NOON))
    assert await store.write(lambda tx: events.prune(tx, NOON + HOUR)) == 1
    assert await waiting(store, NOON + DAY) == ["waits"]


# -- sessions and routes (channels.md §4, §5) ----------------------------------------------


async def say(store: Database, *texts: str, key: str = MAIN, **more: Any) -> None:
    at = more.pop("now", NOON)
    lines = [Message(role="user", text=text, at=at) for text in texts]
    await store.write(
        lambda tx: sessions.append(tx, key, agent_id="main", messages=lines, now=at, **more)
    )


async def said(store: Database, limit: int = 50, **more: Any) -> list[str]:
    found = await store.read(lambda tx: sessions.history(tx, MAIN, limit, **more))
    return [line.text for line in found]


async def test_a_session_remembers_in_order(store: Database) -> None:
    await say(store, "a", "b")
    await say(store, "c")
    assert await said(store) == ["a", "b", "c"]
    assert await said(store, 2) == ["b", "c"]


async def test_hidden_lines_are_kept_and_not_shown(store: Database) -> None:
    await say(store, "a")
    await say(store, "beat", hidden=True, now=NOON + HOUR)
    assert await said(store) == ["a"]
    assert await said(store, with_hidden=True) == ["a", "beat"]
    found = await store.read(lambda tx: sessions.get(tx, MAIN))
    assert found is not None
    assert found.updated_at == NOON  # and no sign of life


async def test_sessions_are_listed_by_their_newest_words(store: Database) -> None:
    await say(store, "a", key="agent:main:a")
    await say(store, "b", key="agent:main:b", now=NOON + SECOND)
    found, total = await store.read(lambda tx: sessions.recent(tx, agent_id="main", limit=1))
    assert ([one.key for one in found], total) == (["agent:main:b"], 2)


async def test_a_deleted_session_is_forgotten(store: Database) -> None:
    await say(store, "a")
    assert await store.write(lambda tx: sessions.delete(tx, MAIN))
    assert await said(store) == []
    assert not await store.write(lambda tx: sessions.delete(tx, MAIN))


async def test_only_sessions_of_single_runs_are_reaped(store: Database) -> None:
    kept = ["agent:main:cron:j", "agent:main:cron:j:run:9:more", MAIN, "agent:main:cronish:run:1"]
    for key in (*kept, "agent:main:cron:j:run:1", "agent:main:cron:cfg:j:run:2"):
        await say(store, "x", key=key)
    await say(store, "x", key="agent:main:cron:j:run:new", now=NOON + DAY)
    gone = await store.write(lambda tx: sessions.reap(tx, NOON + HOUR))
    assert sorted(gone) == ["agent:main:cron:cfg:j:run:2", "agent:main:cron:j:run:1"]


async def test_conversations_nobody_named_are_reaped(store: Database) -> None:
    unnamed = f"agent:main:responses:{'0a' * 16}"
    for key in (unnamed, "agent:main:responses:mine", "agent:main:responses-user:0a", MAIN):
        await say(store, "x", key=key)
    assert await store.write(lambda tx: sessions.reap_responses(tx, NOON)) == []
    assert await store.write(lambda tx: sessions.reap_responses(tx, NOON + HOUR)) == [unnamed]


LEARNT = LastRoute(
    agent_id="main",
    session_key=MAIN,
    channel="telegram",
    account_id="default",
    to="42",
    thread_id="7",
    chat_type=ChatType.DIRECT,
    peer_label="Ada",
    set_at=NOON,
    set_by="m1",
)


async def learn(store: Database, route: LastRoute) -> None:
    await store.write(lambda tx: sessions.set_route(tx, route))


async def learnt(store: Database, **more: Any) -> LastRoute | None:
    return await store.read(lambda tx: sessions.route(tx, MAIN, **more))


async def test_the_newest_route_of_a_session_stands(store: Database) -> None:
    assert await learnt(store) is None
    await learn(store, replace(LEARNT, to="1"))
    await learn(store, LEARNT)
    assert await learnt(store) == LEARNT


async def test_the_local_channel_never_takes_the_place_of_a_real_one(store: Database) -> None:
    local = replace(LEARNT, channel="local", set_at=NOON + HOUR)
    await learn(store, LEARNT)
    await learn(store, local)
    assert await learnt(store) == LEARNT
    assert await learnt(store, kind=sessions.LOCAL) == local


async def test_a_spoilt_route_is_kept_until_its_person_writes_again(store: Database) -> None:
    await learn(store, LEARNT)
    await store.write(lambda tx: sessions.mark_unusable(tx, ADA, "blocked", NOON))
    assert await learnt(store) == replace(LEARNT, unusable="blocked", unusable_at=NOON)
    again = replace(LEARNT, set_at=NOON + HOUR, set_by="m2")
    await learn(store, again)
    assert await learnt(store) == again


async def test_routes_of_an_agent_come_newest_first(store: Database) -> None:
    newer = replace(LEARNT, session_key="agent:main:direct:9", set_at=NOON + HOUR)
    await learn(store, LEARNT)
    await learn(store, newer)
    assert await store.read(lambda tx: sessions.routes(tx, agent_id="main")) == [newer, LEARNT]


async def test_an_inbound_message_is_new_once_a_day(store: Database) -> None:
    async def new(at: datetime) -> bool:
        return await store.write(lambda tx: sessions.first_seen(tx, "telegram|1", at))

    assert [await new(NOON), await new(NOON + HOUR)] == [True, False]
    assert await new(NOON + DAY + SECOND)


async def test_of_inbound_keys_the_newest_are_kept(store: Database) -> None:
    for number in range(5):
        at = NOON + number * SECOND
        await store.write(partial(sessions.first_seen, key=f"k{number}", now=at))
    assert await store.write(lambda tx: sessions.prune_seen(tx, most=2)) == 3
    assert not await store.write(lambda tx: sessions.first_seen(tx, "k4", NOON + HOUR))


async def test_an_admitted_message_is_owed_its_turn_until_it_was_taken(store: Database) -> None:
    for number in (2, 1, 2):
        await store.write(
            partial(sessions.owe_turn, run_id=f"in-{number}", turn=f"t{number}", now=NOON)
        )
    owed = await store.read(sessions.owed_turns)
    assert [(one.turn, one.begun) for one in owed] == [("t2", False), ("t1", False)]
    for _ in range(2):
        await store.write(lambda tx: sessions.turn_begun(tx, "in-1"))
    await store.write(lambda tx: sessions.turn_taken(tx, "in-2"))
    (left,) = await store.read(sessions.owed_turns)
    assert (left.turn, left.begun) == ("t1", True)


async def test_a_cursor_is_where_it_was_left(store: Database) -> None:
    async def left() -> str | None:
        return await store.read(lambda tx: sessions.cursor(tx, "telegram", "default"))

    assert await left() is None
    for value in ("5", "6"):
        await store.write(
            partial(
                sessions.set_cursor,
                channel="telegram",
                account_id="default",
                value=value,
                now=NOON,
            )
        )
    assert await left() == "6"


# -- outbox (channels.md §11) --------------------------------------------------------------


def message(key: str, *, to: str = "42", **more: Any) -> Delivery:
    return Delivery(
        key=key,
        route=replace(ADA, to=to),
        text=key,
        kind=more.pop("kind", "cron"),
        created_at=NOON,
        expires_at=more.pop("expires_at", NOON + HOUR),
        **more,
    )


async def send(store: Database, *those: Delivery) -> None:
    for one in those:
        await store.write(partial(outbox.add, delivery=one))


async def move(store: Database, key: str, event: Event, **changes: Any) -> Delivery | None:
    return await store.write(lambda tx: outbox.move(tx, key, event, NOON, **changes))


async def ready(store: Database, at: datetime = NOON, limit: int = 100) -> list[str]:
    return [each.key for each in await store.read(lambda tx: outbox.ready(tx, at, limit))]


async def kept(store: Database, key: str) -> Delivery:
    found = await store.read(lambda tx: outbox.get(tx, key))
    assert found is not None
    return found


async def test_a_message_comes_back_as_it_was_accepted(store: Database) -> None:
    whole = message(
        "k",
        agent_id="main",
        run_id="r",
        job_id="j",
        priority=Priority.HEARTBEAT,
        chunks=("a", "世界"),
        cursor=1,
        attempts=2,
        next_attempt_at=NOON + SECOND,
        first_attempt_at=NOON,
        message_ids=("m1",),
        last_error={"class": "server", "code": "502"},
        notes={"silent": True},
        media=(Media(kind=MediaKind.IMAGE, name="p.png", path="/m/p.png", size=9),),
    )
    await send(store, whole)
    assert await kept(store, "k") == whole


async def test_the_same_key_twice_is_the_first_message(store: Database) -> None:
    first = message("k")
    await send(store, first)
    again = await store.write(lambda tx: outbox.add(tx, replace(first, text="changed")))
    assert again == first


async def test_a_move_is_made_once(store: Database) -> None:
    await send(store, message("k"))
    sending = await move(store, "k", Event.ATTEMPT, attempts=1)
    assert sending is not None
    assert (sending.state, sending.attempts, sending.first_attempt_at) == (State.SENDING, 1, NOON)
    assert await move(store, "k", Event.ATTEMPT) is None
    assert await move(store, "nobody", Event.ATTEMPT) is None
    done = await move(store, "k", Event.ACCEPTED, message_ids=("m1",))
    assert done == await kept(store, "k")
    assert done is not None
    assert (done.state, done.ended_at) == (State.DELIVERED, NOON)


async def receipts(store: Database, key: str) -> list[tuple[int, str, int]]:
    sql = "SELECT chunk, message_id, at FROM receipts WHERE delivery_key = ? ORDER BY chunk"
    found = await store.read(lambda tx: tx.exec_driver_sql(sql, (key,)).all())
    return [(row[0], row[1], row[2]) for row in found]


async def test_each_part_that_arrived_has_its_receipt(store: Database) -> None:
    """channels.md §11: a receipt id per chunk, with the instant the platform took it."""
    await send(store, message("k", chunks=("a", "b")))
    await move(store, "k", Event.ATTEMPT, attempts=1)
    await move(store, "k", Event.PART_ACCEPTED, cursor=1, message_ids=("m1",))
    assert (await kept(store, "k")).message_ids == ("m1",)
    await store.write(lambda tx: outbox.move(tx, "k", Event.ATTEMPT, NOON + SECOND))
    later = NOON + HOUR
    await store.write(
        lambda tx: outbox.move(tx, "k", Event.ACCEPTED, later, cursor=2, message_ids=("m1", "m2"))
    )
    ms = int(NOON.timestamp()) * 1000
    assert await receipts(store, "k") == [(0, "m1", ms), (1, "m2", ms + 3_600_000)]
    assert (await kept(store, "k")).message_ids == ("m1", "m2")
    page, _ = await store.read(outbox.page)
    assert [one.message_ids for one in page] == [("m1", "m2")]


async def test_receipts_go_with_their_message(store: Database) -> None:
    await send(store, message("k"))
    await move(store, "k", Event.ATTEMPT)
    await move(store, "k", Event.ACCEPTED, message_ids=("m1",))
    await store.write(lambda tx: outbox.prune(tx, NOON + HOUR))
    assert await receipts(store, "k") == []


@pytest.mark.parametrize(
    "table",
    [
        *("jobs", "runs", "task_state", "system_events", "outbox", "receipts", "sessions"),
        *("messages", "routes", "pairings", "devices", "audit", "meta"),
    ],
)
async def test_every_table_of_the_design_is_there(store: Database, table: str) -> None:
    """design.md §5."""
    count = f"SELECT count(*) FROM {table}"  # noqa: S608 - the names above
    assert await store.read(lambda tx: tx.exec_driver_sql(count).scalar_one()) >= 0


async def test_one_message_of_a_lane_is_ready_at_a_time_in_order(store: Database) -> None:
    await send(store, message("a1"), message("a2"), message("b1", to="9"))
    assert await ready(store) == ["a1", "b1"]
    await move(store, "a1", Event.ATTEMPT)
    assert await ready(store) == ["b1"]
    await move(store, "a1", Event.ACCEPTED)
    assert await ready(store) == ["a2", "b1"]


async def test_a_reply_is_ready_before_a_beat(store: Database) -> None:
    beat = message("beat", priority=Priority.HEARTBEAT)
    await send(store, beat, message("reply", to="9", priority=Priority.REPLY))
    assert await ready(store) == ["reply", "beat"]
    assert await ready(store, limit=1) == ["reply"]


async def test_an_account_with_more_chats_than_are_looked_at_holds_up_no_other(
    store: Database,
) -> None:
    """One that cannot send now keeps all its lanes at the front (channels.md §11)."""
    for number in range(5):
        await send(store, message(f"a{number}", to=str(number)))
    other = message("b")
    await send(store, replace(other, route=replace(other.route, account_id="other")))
    assert await ready(store, limit=3) == ["a0", "a1", "a2", "b"]


async def test_a_head_that_waits_for_its_retry_holds_its_lane(store: Database) -> None:
    await send(store, message("a1"), message("a2"))
    await move(store, "a1", Event.ATTEMPT)
    await move(store, "a1", Event.RETRY_LATER, next_attempt_at=NOON + SECOND)
    assert await ready(store) == []
    assert await ready(store, NOON + SECOND) == ["a1"]


async def test_what_is_held_keeps_nobody_waiting_and_is_ready_only_to_run_out(
    store: Database,
) -> None:
    await send(store, message("a1"))
    await move(store, "a1", Event.ATTEMPT)
    await move(store, "a1", Event.HOLD)
    assert await ready(store) == []
    assert await ready(store, NOON + HOUR) == ["a1"]
    await send(store, message("a2"))
    assert await ready(store) == ["a2"]
    assert len(await ready(store, NOON + HOUR)) == 1


async def test_a_contact_lets_go_what_waited_for_this_peer_oldest_first(store: Database) -> None:
    await send(store, message("a1"), message("a2"), message("b1", to="other"))
    for key in ("a1", "a2", "b1"):
        await move(store, key, Event.HOLD)
    route = message("a1").route
    let_go = await store.write(
        lambda tx: outbox.contacted(tx, route.channel, route.account_id, route.to, NOON)
    )
    assert let_go == ["a1", "a2"]
    assert await ready(store) == ["a1"]


async def test_the_next_moment_is_the_earliest_still_to_come(store: Database) -> None:
    async def moment(at: datetime = NOON) -> datetime | None:
        return await store.read(lambda tx: outbox.next_attempt_at(tx, at))

    assert await moment() is None
    retry = message("late", to="9", next_attempt_at=NOON + 3 * SECOND)
    past = message("past", to="8", next_attempt_at=NOON - SECOND)
    behind = message("behind", to="9", next_attempt_at=NOON + SECOND)  # not the head
    await send(store, message("a"), retry, past, behind)
    assert await moment() == NOON + 3 * SECOND
    assert await moment(NOON + 3 * SECOND) == NOON + HOUR


async def test_what_a_crash_left_in_sending_is_found(store: Database) -> None:
    await send(store, message("a"), message("b", to="9"))
    await move(store, "b", Event.ATTEMPT)
    assert [each.key for each in await store.read(outbox.recover)] == ["b"]


async def test_a_newer_beat_takes_the_place_of_older_ones_that_wait(store: Database) -> None:
    begun = message("begun", kind="heartbeat", chunks=("1", "2"), cursor=1)
    old, new = message("old", kind="heartbeat"), message("new", kind="heartbeat")
    await send(store, begun, old, message("cron"), message("other", to="9", kind="heartbeat"), new)
    gone = await store.write(lambda tx: outbox.supersede(tx, new.lane, NOON, keep=["new"]))
    assert gone == ["old"]
    assert ((await kept(store, "old")).state, (await kept(store, "old")).reason) == (
        State.CANCELLED,
        "superseded",
    )


async def test_beyond_the_cap_of_an_account_beats_go_first(store: Database) -> None:
    beats = [message(f"b{n}", kind="heartbeat") for n in range(2)]
    others = [message(f"c{n}") for n in range(3)]
    elsewhere = replace(message("e"), route=replace(ADA, account_id="default2"))
    await send(store, *others, *beats, elsewhere)
    gone = await store.write(lambda tx: outbox.overflow(tx, "telegram", "default", NOON, most=2))
    assert gone == ["b0", "b1", "c0"]
    assert (await kept(store, "c0")).reason == "overflow"
    assert await store.read(outbox.depth) == {"queued": 3}


async def test_pages_of_the_outbox_are_newest_first(store: Database) -> None:
    await send(store, *(message(f"k{n}") for n in range(3)))
    await move(store, "k0", Event.CANCEL)

    async def keys(**query: Any) -> tuple[list[str], int]:
        found, total = await store.read(lambda tx: outbox.page(tx, **query))
        return [each.key for each in found], total

    assert await keys(limit=2) == (["k2", "k1"], 3)
    assert await keys(states=(State.CANCELLED,)) == (["k0"], 1)


async def test_ended_messages_are_pruned_and_open_ones_kept(store: Database) -> None:
    await send(store, message("gone"), message("open"))
    await move(store, "gone", Event.CANCEL)
    assert await store.write(lambda tx: outbox.prune(tx, NOON + DAY)) == 1
    assert await ready(store) == ["open"]


# -- inbox ---------------------------------------------------------------------------------


async def drop(store: Database, *keys: str, agent_id: str = "main") -> None:
    for key in keys:
        await store.write(
            partial(
                inbox.add, key=key, agent_id=agent_id, inbox="me", kind="cron", text=key, now=NOON
            )
        )


async def letters(store: Database, **query: Any) -> list[str]:
    found, _ = await store.read(lambda tx: inbox.page(tx, **query))
    return [letter.id for letter in found]


async def test_a_letter_arrives_once_per_key_newest_first(store: Database) -> None:
    await drop(store, "a", "b", "a")
    assert await letters(store) == ["b", "a"]


async def test_letters_of_one_agent_and_those_after_a_letter(store: Database) -> None:
    await drop(store, "a", "b")
    await drop(store, "x", agent_id="ops")
    await drop(store, "c")
    assert await letters(store, agent_id="main") == ["c", "b", "a"]
    assert await letters(store, agent_id="main", after="a", limit=1) == ["c"]
    assert await letters(store, after="b") == ["c", "x"]
    assert await letters(store, after="of another home") == ["c", "x", "b", "a"]


async def test_letters_are_seen_one_by_one_or_all(store: Database) -> None:
    await drop(store, "a", "b", "c")

    async def ack(ids: Sequence[str] | None) -> int:
        return await store.write(lambda tx: inbox.ack(tx, ids, NOON))

    assert await ack(["b", "nobody"]) == 1
    assert await letters(store, unseen=True) == ["c", "a"]
    assert await ack(None) == 2
    assert await store.read(inbox.count_unseen) == 0


# -- what reached nobody -------------------------------------------------------------------


def unsent(number: int, text: str = "Rain.", reason: str = "no-route", **more: Any) -> Kept:
    values: dict[str, Any] = {"at": NOON + number * HOUR, "kind": "heartbeat"} | more
    values.setdefault("agent_id", "main")
    return Kept(id=f"run:r{number}", text=text, reason=reason, run_id=f"r{number}", **values)


async def keep(store: Database, *words: Kept) -> None:
    for one in words:
        await store.write(partial(kept_rows.keep, kept=one))


async def rows(store: Database, *stages: Stage, **query: Any) -> list[tuple[str, str, int]]:
    asked = KeptQuery(stages=stages, **query)
    found, total = await store.read(lambda tx: kept_rows.page(tx, asked, NOON + DAY))
    assert total == len(found)
    return [(one.id, one.reason, one.times) for one in found]


async def test_words_that_reached_nobody_are_no_letters_and_letters_are_none_of_them(
    store: Database,
) -> None:
    await drop(store, "a")
    await keep(store, unsent(1))
    assert await letters(store) == ["a"]
    assert await rows(store) == [("run:r1", "no-route", 1)]
    assert await store.read(inbox.count_unseen) == 1
    assert await store.read(lambda tx: kept_rows.count_unread(tx, NOON + DAY)) == 1
    assert await store.write(lambda tx: inbox.ack(tx, None, NOON)) == 1
    assert await rows(store, Stage.UNREAD) == [("run:r1", "no-route", 1)]


async def test_the_same_words_for_the_same_reason_are_one_row_while_nobody_has_seen_it(
    store: Database,
) -> None:
    await keep(store, unsent(1), unsent(2), unsent(3, "Snow."), unsent(4, reason="target-none"))
    assert await rows(store) == [
        ("run:r4", "target-none", 1), ("run:r3", "no-route", 1), ("run:r1", "no-route", 2)
    ]  # fmt: skip
    one = await store.read(lambda tx: kept_rows.find(tx, "r2"))
    assert one is not None
    assert (one.at, one.first_at) == (NOON + 2 * HOUR, NOON + HOUR)
    await store.write(lambda tx: kept_rows.acknowledge(tx, one.number, NOON))
    await keep(store, unsent(5))
    assert await rows(store, Stage.UNREAD, reason="no-route") == [
        ("run:r5", "no-route", 1), ("run:r3", "no-route", 1)
    ]  # fmt: skip


async def test_a_row_is_found_by_number_id_run_and_message(store: Database) -> None:
    await keep(store, unsent(1, delivery_key="heartbeat:r1:0"))
    one = await store.read(lambda tx: kept_rows.find(tx, "run:r1"))
    assert one is not None
    for ref in (str(one.number), "r1", "heartbeat:r1:0"):
        assert await store.read(partial(kept_rows.find, ref=ref)) == one
    await drop(store, "a")
    assert await store.read(lambda tx: kept_rows.find(tx, "a")) is None  # it arrived


async def test_what_is_held_back_is_counted_where_it_is_held(store: Database) -> None:
    await keep(store, unsent(1, "CPU 91%"))
    one = await store.read(lambda tx: kept_rows.find(tx, "r1"))
    assert one is not None
    await store.write(lambda tx: kept_rows.mute(tx, one.number, NOON))
    held = await store.read(lambda tx: kept_rows.held(tx, unsent(2, "CPU 95%").print, NOON))
    assert held is not None
    await keep(store, unsent(2, "CPU 95%", reason="muted"), unsent(3, "CPU 97%"))
    assert await rows(store) == [("run:r1", "no-route", 3)]
    assert await store.write(lambda tx: kept_rows.prune(tx, NOON + 99 * DAY, NOON + DAY)) == 0
    await store.write(lambda tx: kept_rows.mute(tx, one.number, None))
    assert await store.write(lambda tx: kept_rows.prune(tx, NOON + 99 * DAY, NOON + DAY)) == 1


async def test_each_stage_lists_its_own(store: Database) -> None:
    await keep(store, *(unsent(n, f"Words {'abcdef'[n]}") for n in range(5)))
    await keep(store, unsent(5, "Words f", reason="duplicate"))

    def arrange(tx: Tx) -> None:
        number = {one.id: one.number for one in kept_rows.page(tx, KeptQuery(), NOON)[0]}
        kept_rows.acknowledge(tx, number["run:r1"], NOON)
        kept_rows.resent(tx, "again", [number["run:r2"]], NOON)
        kept_rows.mute(tx, number["run:r3"], NOON)
        four = kept_rows.find(tx, "r4")
        assert four is not None
        kept_rows.snooze(tx, four, NOON + 2 * DAY, NOON)

    await store.write(arrange)
    listed = {stage: [one[0] for one in await rows(store, stage)] for stage in Stage}
    assert listed == {
        Stage.UNREAD: ["run:r0"],
        Stage.READ: ["run:r1"],
        Stage.RESENT: ["run:r2"],
        Stage.MUTED: ["run:r3"],
        Stage.SNOOZED: ["run:r4"],
        Stage.NOTED: ["run:r5"],
    }


async def test_a_message_that_ends_undelivered_is_kept_with_its_end(store: Database) -> None:
    await send(store, message("k1"), message("k2"))
    await move(store, "k1", Event.CANCEL)
    await move(store, "k2", Event.ATTEMPT)
    await move(store, "k2", Event.ACCEPTED)
    assert [one[0] for one in await rows(store)] == ["message:k1"]


async def test_words_are_sent_again_under_one_key_until_that_fails_too(store: Database) -> None:
    async def again(base: str) -> tuple[str, bool]:
        one, fresh = await store.write(lambda tx: outbox.again(tx, message(""), base))
        return one.key, fresh

    first, fresh = await again("k1")
    assert fresh
    assert await again("k1") == (first, False)
    assert await again(first) == (first, False)  # a repetition of a repetition
    await move(store, first, Event.CANCEL)
    second, fresh = await again("k1")
    assert fresh
    assert second != first


# -- tasks, facts, audit -------------------------------------------------------------------


async def test_a_task_knows_the_slot_it_was_last_served_in(store: Database) -> None:
    async def served(slot: datetime, *names: str) -> None:
        await store.write(
            lambda tx: tasks.served(tx, "main", [(name, HOUR) for name in names], slot, status="ok")
        )

    await served(NOON, "mail", "weather")
    await served(NOON + HOUR, "mail")
    found = await store.read(lambda tx: tasks.last_slots(tx, "main"))
    assert found == {"mail": NOON + HOUR, "weather": NOON}
    assert await store.write(lambda tx: tasks.prune(tx, NOON + 2 * HOUR)) == 1
    assert list(await store.read(lambda tx: tasks.last_slots(tx, "main"))) == ["mail"]


async def test_a_fact_is_what_it_was_set_to_last(store: Database) -> None:
    await store.write(lambda tx: meta.put(tx, "switch:main", "off"))
    await store.write(lambda tx: meta.put(tx, "switch:main", "on"))
    assert await store.read(lambda tx: meta.get(tx, "switch:main")) == "on"


async def test_an_identity_is_kept(store: Database) -> None:
    first = await store.write(lambda tx: meta.keep(tx, "installation", "a"))
    assert [first, await store.write(lambda tx: meta.keep(tx, "installation", "b"))] == ["a", "a"]


async def test_a_text_is_remembered_with_the_place_it_went_to(store: Database) -> None:
    await store.write(lambda tx: sent.note(tx, "lane", " rain\n", NOON))
    assert await store.read(lambda tx: sent.last(tx, "lane", "rain")) == Sent(NOON, 0)
    assert await store.read(lambda tx: sent.last(tx, "elsewhere", "rain")) is None


async def test_repetitions_held_back_are_counted_until_it_is_sent_again(store: Database) -> None:
    async def known() -> Sent | None:
        return await store.read(lambda tx: sent.last(tx, "lane", "rain"))

    await store.write(lambda tx: sent.note(tx, "lane", "rain", NOON))
    await store.write(lambda tx: sent.suppress(tx, "lane", "rain"))
    assert await known() == Sent(NOON, 1)
    await store.write(lambda tx: sent.note(tx, "lane", "rain", NOON + DAY))
    assert await known() == Sent(NOON + DAY, 0)
    assert await store.write(lambda tx: sent.prune(tx, NOON + 2 * DAY)) == 1


async def test_who_changed_what_is_written_down(store: Database) -> None:
    for subject in ("a", "b"):
        await store.write(
            partial(
                audit.note, now=NOON, actor="cli", action="remove", subject=subject, detail={"n": 1}
            )
        )
    newest, older = await store.read(audit.newest)
    assert (newest["subject"], older["subject"]) == ("b", "a")
    assert newest["detail"] == {"n": 1}


async def test_strangers_do_not_fill_the_record_and_what_is_old_goes(store: Database) -> None:
    async def wrote(action: str, subject: str, at: datetime) -> None:
        await store.write(partial(audit.note, now=at, actor="x", action=action, subject=subject))

    await wrote("cron.remove", "old", NOON - 2 * DAY)
    await wrote(audit.REFUSED, "first", NOON)
    await wrote("cron.remove", "kept", NOON)
    for n in range(3):
        await wrote(audit.REFUSED, f"later {n}", NOON)
    assert await store.write(lambda tx: audit.prune(tx, NOON - DAY, most=3)) == 2
    left = [line["subject"] for line in await store.read(audit.newest)]
    assert left == ["later 2", "later 1", "later 0", "kept"]
    assert await store.write(lambda tx: audit.prune(tx, NOON + DAY, most=3)) == 0, "never the last"


async def test_of_two_words_about_one_question_only_the_first_counts(store: Database) -> None:
    """On a server transactions run side by side: both may have read that it waits."""
    asked = Question(
        id="3f9a2c",
        agent_id="main",
        session_key="s",
        run_id="r",
        command="make",
        because="asked",
        asked_at=NOON,
        expires_at=NOON + timedelta(hours=1),
    )
    allowed = replace(asked, answer=Answer.APPROVED, by="ana", decided_at=NOON)
    denied = replace(asked, answer=Answer.DENIED, by="bob", decided_at=NOON)
    await store.write(lambda tx: approvals.put(tx, asked))
    assert await store.write(lambda tx: approvals.change(tx, asked, allowed))
    assert not await store.write(lambda tx: approvals.change(tx, asked, denied))
    assert not await store.write(lambda tx: approvals.change(tx, asked, allowed))
    kept = await store.read(lambda tx: approvals.get(tx, "3f9a2c"))
    assert kept is not None
    assert (kept.answer, kept.by) == (Answer.APPROVED, "ana")
