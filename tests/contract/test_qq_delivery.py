"""QQ end to end on loopback: what a person sees, and what the receipt says (channels.md §8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from engine.messages.delivery import State
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn, Wrong
from jobs.store.db import Database
from tests.fakes.qq import NOON, TO_ANN, QqBench

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def bench() -> AsyncIterator[QqBench]:
    db, clock = await Database.memory(), ManualClock(NOON)
    async with QqStandIn(clock=clock) as qq:
        bench = QqBench(db, qq, clock)
        await bench.start()
        yield bench
        await bench.stop()
    await db.close()


async def test_a_ping_nobody_asked_for_arrives_with_its_receipt(bench: QqBench) -> None:
    await bench.put("a", "the build is red")
    got = await bench.ended("a")
    (message,) = bench.qq.sent
    assert (got["status"], got["via"]) == ("delivered", "proactive")
    assert got["messageIds"] == [message.message_id]
    assert (message.peer, message.text, message.msg_id) == (TO_ANN, "the build is red", None)


async def test_whoever_writes_gets_an_answer_to_their_message(bench: QqBench) -> None:
    bench.answer = "hello Ann"
    asked = await bench.qq.user_writes("hello")
    turn = await bench.turn()
    assert turn.text == "hello"
    message = await bench.qq.next_sent()
    assert (message.text, message.msg_id, message.msg_seq) == ("hello Ann", asked, 1)


async def test_a_ping_after_ten_minutes_is_an_answer_and_after_an_hour_is_none(
    bench: QqBench,
) -> None:
    asked = await bench.qq.user_writes("hello")
    await bench.turn()
    await bench.clock.advance(10 * MINUTE)
    await bench.put("a")
    assert (await bench.ended("a"))["via"] == "passive"
    await bench.clock.advance(51 * MINUTE)
    await bench.put("b")
    assert (await bench.ended("b"))["via"] == "proactive"
    assert [one.msg_id for one in bench.qq.sent] == [asked, None]


async def test_the_fifth_answer_to_a_message_leaves_unasked(bench: QqBench) -> None:
    asked = await bench.qq.user_writes("hello")
    await bench.turn()
    for key in "abcde":
        await bench.put(key)
        await bench.ended(key)
    assert [(one.msg_id, one.msg_seq) for one in bench.qq.sent] == [
        *((asked, seq) for seq in (1, 2, 3, 4)),
        (None, None),
    ]


async def test_what_may_not_be_sent_unasked_waits_for_the_next_contact_and_goes_once(
    bench: QqBench,
) -> None:
    bench.qq.deny(TO_ANN)
    await bench.put("a", "your report")
    assert (await bench.until("a", State.HELD))["reason"] == "awaiting-contact"
    asked = await bench.qq.user_writes("anything new?")
    got = await bench.ended("a")
    assert (got["status"], got["via"]) == ("delivered", "passive")
    assert [(one.text, one.msg_id) for one in bench.qq.sent] == [("your report", asked)]


async def test_once_refused_a_peer_is_not_asked_again_for_a_day(bench: QqBench) -> None:
    bench.qq.deny(TO_ANN)
    for key in "ab":
        await bench.put(key)
        await bench.until(key, State.HELD)
    assert [kind for kind, _ in bench.qq.calls].count("c2c") == 1
    bench.qq.allow(TO_ANN)
    await bench.put("c", life=timedelta(hours=60))
    await bench.until("c", State.HELD)
    await bench.clock.advance(timedelta(hours=24))
    await bench.put("d")
    assert (await bench.ended("d"))["status"] == "delivered"


async def test_a_heartbeat_that_may_not_be_sent_says_so_at_once(bench: QqBench) -> None:
    bench.qq.deny(TO_ANN)
    await bench.put("a", kind="heartbeat")
    got = await bench.ended("a")
    assert (got["status"], got["reason"]) == ("failed", "proactive-denied")
    await bench.put("b", kind="heartbeat")
    assert (await bench.ended("b"))["reason"] == "proactive-denied"


async def test_a_person_who_allows_messages_gets_what_waited(bench: QqBench) -> None:
    bench.qq.deny(TO_ANN)
    await bench.put("a")
    await bench.until("a", State.HELD)
    bench.qq.allow(TO_ANN)
    await bench.qq.happens("C2C_MSG_RECEIVE", {"openid": "A" * 32, "timestamp": 1})
    got = await bench.ended("a")
    assert (got["status"], got["via"]) == ("delivered", "proactive")


async def test_what_waits_too_long_is_expired_and_never_sent(bench: QqBench) -> None:
    bench.qq.deny(TO_ANN)
    await bench.put("a", life=timedelta(minutes=5))
    await bench.until("a", State.HELD)
    await bench.clock.advance(5 * MINUTE)
    assert (await bench.ended("a"))["status"] == "expired"
    assert bench.qq.sent == []


async def test_a_lost_answer_to_an_answer_is_asked_for_again_and_seen_once(bench: QqBench) -> None:
    await bench.qq.user_writes("hello")
    await bench.turn()
    bench.qq.fail("c2c", Wrong.lost_answer())
    await bench.put("a")
    await bench.until("a", State.QUEUED)
    await bench.clock.advance(timedelta(seconds=1))
    assert (await bench.ended("a"))["status"] == "delivered"
    assert bench.qq.platform.texts() == ["a"]


async def test_a_lost_answer_to_a_ping_nobody_asked_for_is_unknown(bench: QqBench) -> None:
    bench.qq.fail("c2c", Wrong.lost_answer())
    await bench.put("a")
    got = await bench.ended("a")
    assert (got["status"], got["class"]) == ("unknown", "network-ambiguous")
    assert bench.qq.platform.texts() == ["a"]


async def test_a_number_that_was_used_already_is_exchanged_once(bench: QqBench) -> None:
    await bench.qq.user_writes("hello")
    await bench.turn()
    bench.qq.fail("c2c", Wrong.coded(40054005))
    await bench.put("a")
    await bench.until("a", State.QUEUED)
    assert (await bench.ended("a"))["status"] == "delivered"
    assert [one.msg_seq for one in bench.qq.sent] == [2]


async def test_a_window_that_is_over_for_the_platform_is_left(bench: QqBench) -> None:
    await bench.qq.user_writes("hello")
    await bench.turn()
    bench.qq.fail("c2c", Wrong.coded(40034005))
    await bench.put("a")
    await bench.until("a", State.QUEUED)
    got = await bench.ended("a")
    assert (got["status"], got["via"], got["windowExpired"]) == ("delivered", "proactive", True)


async def test_a_token_that_is_refused_is_replaced_once_and_the_message_sent_once(
    bench: QqBench,
) -> None:
    await bench.clock.advance(MINUTE)
    bench.qq.platform.revoke(bench.qq.app_id)
    await bench.put("a")
    assert (await bench.ended("a"))["attempts"] == 1
    assert bench.qq.platform.texts() == ["a"]
    assert [kind for kind, _ in bench.qq.calls].count("token") == 2


async def test_links_the_platform_refuses_are_spelt_out_and_that_is_noted(bench: QqBench) -> None:
    await bench.put("a", "see https://example.com/x")
    await bench.until("a", State.QUEUED)
    got = await bench.ended("a")
    assert (got["status"], got["defanged"]) == ("delivered", True)
    assert bench.qq.platform.texts() == ["see https[:]//example[.]com/x"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Wrong.blocked(), "blocked"),
        (Wrong.not_friends(), "cannot-initiate"),
        (Wrong.quota(), "quota-exhausted"),
        (Wrong.coded(40054002), "muted"),
        (Wrong.coded(40054003), "not-member"),
        (Wrong.coded(40034006), "content-rejected"),
        (Wrong.coded(99999999), "unknown-error"),
    ],
)
async def test_refusals_are_told_apart_and_not_tried_again(
    bench: QqBench, wrong: Wrong, reason: str
) -> None:
    bench.qq.fail_always("c2c", wrong)
    await bench.put("a")
    got = await bench.ended("a")
    assert (got["status"], got["reason"], got["code"]) == ("failed", reason, str(wrong.code))
    assert got["attempts"] == 1


async def test_a_used_up_quota_is_not_tried_again_before_the_platforms_midnight(
    bench: QqBench,
) -> None:
    bench.qq.fail("c2c", Wrong.quota())
    for key in "ab":
        await bench.put(key)
        assert (await bench.ended(key))["reason"] == "quota-exhausted"
    assert [kind for kind, _ in bench.qq.calls].count("c2c") == 1
    await bench.clock.advance(timedelta(hours=4))  # 12:00 UTC is 20:00 in Beijing
    await bench.put("c")
    assert (await bench.ended("c"))["status"] == "delivered"


async def test_a_message_that_waits_for_an_audit_is_taken_and_noted(bench: QqBench) -> None:
    bench.qq.fail("c2c", Wrong.pending_audit())
    await bench.put("a")
    got = await bench.ended("a")
    assert (got["status"], got["pendingAudit"]) == ("delivered", True)


@pytest.mark.parametrize("wrong", [Wrong.server_error(), Wrong.coded(40054016), Wrong.too_many()])
async def test_passing_trouble_is_waited_out(bench: QqBench, wrong: Wrong) -> None:
    bench.qq.fail("c2c", wrong)
    await bench.put("a")
    await bench.until("a", State.QUEUED)
    await bench.clock.advance(timedelta(seconds=30))
    assert (await bench.ended("a"))["status"] == "delivered"


async def test_an_uncertified_bot_sends_five_unasked_a_second_and_loses_none(
    bench: QqBench,
) -> None:
    for n in range(7):
        await bench.put(f"k{n}", to=f"c2c:{n:032d}")
    for n in range(5):
        await bench.ended(f"k{n}")
    assert len(bench.qq.sent) == 5
    await bench.clock.advance(timedelta(seconds=1))
    await bench.ended("k6")
    assert len(bench.qq.sent) == 7


@pytest.mark.parametrize(("asked", "state"), [(True, "delivered"), (False, "unknown")])
async def test_a_process_that_died_around_its_request_is_seen_once(
    bench: QqBench, asked: bool, state: str
) -> None:
    if asked:
        await bench.qq.user_writes("hello")
        await bench.turn()
    never = asyncio.Event()
    bench.qq.fail("c2c", Wrong.slow(never))
    await bench.put("a")
    await bench.until("a", State.SENDING)
    await bench.qq.next_sent()  # it arrived, and the answer never comes
    heir = QqBench(bench.db, bench.qq, bench.clock)
    await heir.start()
    assert (await heir.ended("a"))["status"] == state
    assert bench.qq.platform.texts() == ["a"]
    never.set()
    await heir.stop()


async def test_a_part_that_was_sent_is_not_sent_again_after_a_restart(bench: QqBench) -> None:
    await bench.qq.user_writes("tell me everything")
    await bench.turn()
    text = "\n\n".join(f"paragraph {n} " + "x" * 1900 for n in range(3))
    never = asyncio.Event()
    await bench.put("a", text)
    await bench.until("a", State.QUEUED)  # the first part arrived
    bench.qq.fail("c2c", Wrong.slow(never))
    await bench.stop()
    heir = QqBench(bench.db, bench.qq, bench.clock)
    never.set()
    await heir.start()
    await heir.ended("a")
    assert "\n\n".join(bench.qq.platform.texts()) == text
    assert sorted(one.msg_seq or 0 for one in bench.qq.sent) == [1, 2, 3]
    await heir.stop()


async def test_a_restart_refills_no_quota(bench: QqBench) -> None:
    for n in range(20):
        await bench.put(f"k{n}")
        await bench.ended(f"k{n}")
        await bench.clock.advance(timedelta(seconds=0.25))
    await bench.stop()
    bench.build()
    await bench.start()
    await bench.put("one more")
    await bench.clock.advance(timedelta(seconds=30))
    assert len(bench.qq.sent) == 20
    await bench.clock.advance(timedelta(seconds=30))
    await bench.ended("one more")
    assert len(bench.qq.sent) == 21


async def test_a_group_is_answered_within_five_minutes(bench: QqBench) -> None:
    bench.answer = "hi all"
    asked = await bench.qq.group_writes("bot?")
    message = await bench.qq.next_sent()
    assert (message.peer, message.msg_id) == (f"group:{'G' * 32}", asked)
    await bench.clock.advance(5 * MINUTE)
    await bench.put("late", to=f"group:{'G' * 32}")
    assert (await bench.ended("late"))["via"] == "proactive"


async def test_a_guild_channel_is_answered(bench: QqBench) -> None:
    bench.answer = "hi"
    asked = await bench.qq.guild_writes("hello")
    assert (await bench.turn()).text == "hello"
    message = await bench.qq.next_sent()
    assert (message.peer, message.msg_id) == ("channel:7001", asked)
    assert "msg_type" not in message.body
