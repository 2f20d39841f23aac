"""The QQ channel's connection on loopback: resumed, replaced, given up, and what it tells."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from engine.messages.delivery import State
from engine.store import outbox, sessions
from engine.testing.clock import ManualClock
from engine.testing.qq import QqStandIn, Wrong
from gateway.channels.policy import Policy
from gateway.channels.qq.account import Intents
from jobs.store.db import Database
from tests.fakes.qq import NOON, TO_ANN, QqBench

SECOND = timedelta(seconds=1)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[QqBench]:
    db, clock = await Database.memory(), ManualClock(NOON)
    async with QqStandIn(clock=clock) as qq:
        bench = QqBench(db, qq, clock)
        yield bench
        await bench.stop()
    await db.close()


async def again(bench: QqBench, wait: timedelta = SECOND) -> None:
    """Let the wait before the next connection pass."""
    await bench.runtime("backoff")
    await bench.clock.advance(wait)
    await bench.runtime("connected")


@pytest.mark.parametrize("code", [1000, 4009, 4999])
async def test_what_was_written_while_it_was_away_arrives_once(bench: QqBench, code: int) -> None:
    await bench.start()
    await bench.qq.user_writes("before")
    await bench.turn()
    await bench.qq.close(code)
    for text in ("one", "two"):
        await bench.qq.user_writes(text)
    await again(bench)
    assert [(await bench.turn()).text for _ in range(2)] == ["one", "two"]
    resumed = await bench.qq.received(6)
    assert resumed["d"]["seq"] == 2
    assert bench.turns.empty()


async def test_a_connection_that_breaks_without_a_word_is_resumed(bench: QqBench) -> None:
    await bench.start()
    await bench.qq.drop()
    await again(bench)
    await bench.qq.received(6)


async def test_opcode_7_is_obeyed_at_once_and_resumed(bench: QqBench) -> None:
    await bench.start()
    await bench.qq.ask_to_reconnect()
    await bench.qq.received(6)
    await bench.qq.user_writes("hello")
    assert (await bench.turn()).text == "hello"


async def test_an_invalid_session_is_begun_anew(bench: QqBench) -> None:
    await bench.start()
    await bench.qq.invalidate()
    await again(bench)
    await bench.qq.received(2, 2)
    await bench.qq.user_writes("hello")
    assert (await bench.turn()).text == "hello"


async def test_a_heartbeat_nobody_answers_ends_the_connection(bench: QqBench) -> None:
    bench.qq.gateway.heartbeat_ms = 30_000
    await bench.start()
    await bench.clock.advance(30 * SECOND)
    await bench.qq.received(1)
    bench.qq.gateway.acks = False
    await bench.clock.advance(30 * SECOND)
    await bench.qq.received(1, 2)
    await bench.clock.advance(30 * SECOND)
    await again(bench)
    await bench.qq.received(6)


async def test_a_platform_that_never_says_resumed_is_connected_by_what_it_sends(
    bench: QqBench,
) -> None:
    await bench.start()
    bench.qq.gateway.says_resumed = False
    await bench.qq.close(4009)
    await bench.qq.user_writes("meanwhile")
    await again(bench)
    assert (await bench.turn()).text == "meanwhile"


async def test_heartbeats_tell_what_is_durable(bench: QqBench) -> None:
    bench.qq.gateway.heartbeat_ms = 30_000
    await bench.start()
    await bench.qq.user_writes("hello")
    await bench.turn()
    await bench.clock.advance(30 * SECOND)
    assert (await bench.qq.received(1))["d"] == 2


async def test_a_message_that_was_not_admitted_comes_again(bench: QqBench) -> None:
    refuse = [True]
    admit = bench.reception.admit

    async def once(message: object) -> None:
        if refuse.pop() if refuse else False:
            raise OSError("disk full")
        await admit(message)  # type: ignore[arg-type]  # the channel admits what it reads

    await bench.channel.start(once)
    await bench.qq.connected()
    await bench.qq.user_writes("precious")
    await again(bench)
    assert (await bench.turn()).text == "precious"


async def test_a_restart_within_five_minutes_goes_on_where_it_stood(bench: QqBench) -> None:
    await bench.start()
    await bench.qq.user_writes("before")
    await bench.turn()
    await bench.stop()
    await bench.qq.user_writes("meanwhile")
    await bench.clock.advance(timedelta(minutes=4))
    bench.build()
    await bench.start()
    assert (await bench.turn()).text == "meanwhile"
    assert (await bench.qq.received(6))["d"]["seq"] == 2


async def test_a_restart_after_an_hour_begins_anew(bench: QqBench) -> None:
    await bench.start()
    await bench.stop()
    await bench.clock.advance(timedelta(hours=1))
    bench.build()
    await bench.start()
    await bench.qq.received(2, 2)


async def test_credentials_that_are_refused_end_the_account_and_are_not_shown(
    bench: QqBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.qq.fail_always("token", Wrong.bad_credentials())
    await bench.channel.start(bench.reception.admit)
    await bench.runtime("auth-failed")
    (status,) = bench.channel.status()
    assert "100016" in str(status.last_error)
    assert not bench.channel.ready("default")
    assert bench.qq.secret not in str(status) + caplog.text


async def test_a_token_the_gateway_refuses_is_replaced_once(bench: QqBench) -> None:
    bench.qq.gateway.close_next = [4004]
    await bench.channel.start(bench.reception.admit)
    await again(bench)
    bench.qq.gateway.close_next = [4004, 4004]
    await bench.qq.drop()
    for _ in range(2):
        await bench.runtime("backoff")
        await bench.clock.advance(10 * SECOND)
    await bench.runtime("auth-failed")


async def test_an_intent_that_is_not_granted_is_told_in_words(bench: QqBench) -> None:
    bench.build({"intents": Intents.GROUP | Intents.GUILD})
    bench.qq.gateway.granted = int(Intents.GROUP)
    await bench.channel.start(bench.reception.admit)
    await bench.runtime("fatal")
    (status,) = bench.channel.status()
    assert "4014: an intent of the config is not granted" in str(status.last_error)


@pytest.mark.parametrize("wrong", [Wrong.server_error(), Wrong.not_json(), Wrong.throttled()])
async def test_a_platform_in_trouble_is_tried_again(bench: QqBench, wrong: Wrong) -> None:
    bench.qq.fail("token", wrong)
    await bench.channel.start(bench.reception.admit)
    await again(bench)


async def test_each_bot_has_its_own_connection_people_and_numbers(bench: QqBench) -> None:
    bench.qq.platform.bots["102000002"] = "another-secret"
    bench.build()
    await bench.start()
    await bench.qq.user_writes("to the second", openid="B" * 32, app_id="102000002")
    turn = await bench.turn()
    assert turn.route is not None
    assert (turn.route.account_id, turn.route.to) == ("other", f"c2c:{'B' * 32}")
    await bench.put("a", to=f"c2c:{'B' * 32}")
    refused = await bench.ended("a")
    assert (refused["status"], refused["reason"]) == ("failed", "account-mismatch")
    assert "'other'" in refused["detail"]
    assert [kind for kind, _ in bench.qq.calls].count("c2c") == 0
    await bench.put("b", to=f"c2c:{'B' * 32}", account="other")
    assert (await bench.ended("b"))["via"] == "passive"


async def test_one_bot_with_wrong_credentials_stops_no_other(bench: QqBench) -> None:
    bench.qq.platform.bots["102000002"] = "another-secret"
    bench.build()
    bench.qq.platform.bots["102000002"] = "changed"
    await bench.channel.start(bench.reception.admit)
    await bench.runtime("auth-failed")
    await bench.qq.connected()
    await bench.qq.user_writes("hello")
    assert (await bench.turn()).text == "hello"
    assert [one.runtime for one in bench.channel.status()] == ["connected", "auth-failed"]


async def test_whoever_leaves_is_not_written_to_until_they_write_again(bench: QqBench) -> None:
    await bench.start()
    await bench.qq.user_writes("hello")
    await bench.turn()
    await bench.qq.happens("FRIEND_DEL", {"openid": "A" * 32, "timestamp": 1})
    await bench.qq.group_writes("x")
    await bench.turn()  # events come in order: the first one is durable
    learnt = await bench.db.read(lambda tx: sessions.route(tx, "agent:main:main"))
    assert learnt is not None
    assert (learnt.to, learnt.unusable) == (TO_ANN, "blocked")
    await bench.qq.user_writes("I am back")
    await bench.turn()
    learnt = await bench.db.read(lambda tx: sessions.route(tx, "agent:main:main"))
    assert learnt is not None
    assert learnt.unusable is None


async def test_a_stranger_lets_nothing_go(bench: QqBench) -> None:
    bench.policy = Policy(allow_from=("C" * 32,), dm="allowlist")
    await bench.start()
    bench.qq.deny(TO_ANN)
    await bench.put("a")
    await bench.until("a", State.HELD)
    await bench.qq.user_writes("let me in")
    await bench.qq.user_writes("I may", openid="C" * 32)
    await bench.turn()  # events come in order: the stranger was heard before
    held = await bench.db.read(lambda tx: outbox.get(tx, "a"))
    assert held is not None
    assert held.state is State.HELD


async def test_a_probe_asks_for_token_and_bot(bench: QqBench) -> None:
    good = await bench.channel.probe("default")
    assert (good["ok"], good["username"]) == (True, "bot 102000001")
    bench.qq.fail("token", Wrong.bad_credentials())
    bad = await bench.channel.probe("default")
    assert (bad["ok"], bad["class"], bad["code"]) == (False, "auth", "100016")
    assert not (await bench.channel.probe("nobody"))["ok"]


async def test_markdown_that_is_refused_is_sent_plain_and_not_tried_for_a_day(
    bench: QqBench,
) -> None:
    bench.build({"markdown": True})
    await bench.start()
    bench.qq.fail("c2c", Wrong.coded(304036))
    await bench.put("a", "**hi**")
    await bench.until("a", State.QUEUED)
    got = await bench.ended("a")
    assert (got["status"], got["formatFallback"]) == ("delivered", True)
    await bench.put("b", "**ho**")
    await bench.ended("b")
    assert [one.markdown for one in bench.qq.sent] == [False, False]


async def test_a_restarted_account_resumes_and_every_frame_is_a_sign_of_life(
    bench: QqBench,
) -> None:
    await bench.start()
    await bench.qq.user_writes("before")
    await bench.turn()
    await bench.channel.restart("default")
    await bench.qq.received(6)
    await bench.runtime("connected")
    await bench.qq.user_writes("after")
    assert (await bench.turn()).text == "after"
    alive = {one.account_id: one.alive_at for one in bench.channel.status()}
    assert alive["default"] == bench.clock.now()
