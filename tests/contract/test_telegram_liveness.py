"""Whether a Telegram account is alive, and what it says when it is not (channels.md §9, §12)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.testing.telegram import TelegramStandIn, Wrong
from gateway.channels.telegram.channel import TelegramChannel
from gateway.channels.telegram.poll import POLLED
from jobs.wallclock import ms
from tests.contract.test_telegram import NOON, SECOND, Bench

HOUR = timedelta(hours=1)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with TelegramStandIn() as telegram:
        bench = Bench(telegram)
        yield bench
        await bench.channel.stop()


async def stood(bench: Bench, channel: TelegramChannel) -> None:
    await channel.start(bench.door.admit)
    await bench.until("connected")


async def test_a_gateway_that_was_away_for_more_than_a_day_says_what_may_be_lost(
    bench: Bench,
) -> None:
    bench.kept[POLLED, "default"] = (NOON - 25 * HOUR).isoformat()
    await stood(bench, bench.channel)
    (status,) = bench.channel.status()
    assert status.extra["note"] == (
        "not polled from 2026-11-19 11:00 UTC for more than 24 h: messages of that time may be lost"
    )
    ((account, what, detail),) = bench.remarks
    assert (account, what) == ("default", "channel.gap")
    assert detail["since"] == (NOON - 25 * HOUR).isoformat()


@pytest.mark.parametrize("last", ["", "nonsense", (NOON - 24 * HOUR).isoformat()])
async def test_a_shorter_absence_is_no_loss_and_the_time_of_polls_is_kept(
    bench: Bench, last: str
) -> None:
    if last:
        bench.kept[POLLED, "default"] = last
    await stood(bench, bench.channel)
    bench.telegram.user_writes("hello")
    await bench.door.next()
    assert "note" not in bench.channel.status()[0].extra
    assert not bench.remarks
    assert bench.kept[POLLED, "default"] == NOON.isoformat()


async def test_two_gateways_of_one_machine_do_not_poll_one_bot(
    bench: Bench, tmp_path: Path
) -> None:
    first, second = (bench.make(locks=tmp_path / "room") for _ in range(2))
    await stood(bench, first)
    await second.start(bench.door.admit)
    await bench.until("conflict")
    (status,) = second.status()
    assert "another gateway on this machine polls this bot (pid " in str(status.last_error)
    assert status.extra["retryAt"] == ms(NOON + 5 * SECOND)
    polls = [method for method, _ in bench.telegram.calls].count("getUpdates")
    assert polls == 1
    await first.stop()
    await bench.asleep()
    await bench.clock.advance(5 * SECOND)
    await bench.until("connected")
    await second.stop()


async def test_another_bot_and_another_server_are_nobody_elses(
    bench: Bench, tmp_path: Path
) -> None:
    async with TelegramStandIn() as elsewhere:
        first = bench.make(locks=tmp_path)
        await stood(bench, first)
        bench.telegram = elsewhere  # the same token
        second = bench.make(locks=tmp_path)
        await stood(bench, second)
        await first.stop()
        await second.stop()


async def test_a_room_that_cannot_be_used_keeps_nobody_out(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    channel = bench.make(locks=tmp_path / "file")
    await stood(bench, channel)
    await channel.stop()


async def test_a_poll_that_is_never_completed_is_given_up_and_made_anew(bench: Bench) -> None:
    never = asyncio.Event()
    bench.telegram.fail("getUpdates", Wrong.slow(never))
    await bench.channel.start(bench.door.admit)
    await bench.telegram.called("getUpdates")
    await bench.clock.advance(119 * SECOND)
    assert bench.channel.status()[0].runtime == "connecting"
    await bench.clock.advance(SECOND)
    await bench.until("stalled")
    assert "no poll was completed for 120 s" in str(bench.channel.status()[0].last_error)
    bench.telegram.user_writes("are you there")
    await bench.asleep()
    await bench.clock.advance(SECOND)
    assert (await bench.door.next()).text == "are you there"
    await bench.until("connected")
    never.set()


async def test_a_wall_clock_that_is_set_forward_ends_no_poll(bench: Bench) -> None:
    await stood(bench, bench.channel)
    await bench.telegram.called("getUpdates", 2)
    bench.clock.step(HOUR)
    await bench.clock.advance(SECOND)
    assert bench.channel.status()[0].runtime == "connected"
    bench.telegram.user_writes("hello")
    assert (await bench.door.next()).text == "hello"


async def test_the_time_of_a_stall_is_the_accounts_own(bench: Bench) -> None:
    never = asyncio.Event()
    bench.telegram.fail("getUpdates", Wrong.slow(never))
    channel = bench.make(stalled_after=timedelta(seconds=300))
    await channel.start(bench.door.admit)
    await bench.telegram.called("getUpdates")
    await bench.clock.advance(299 * SECOND)
    assert channel.status()[0].runtime == "connecting"
    await bench.clock.advance(SECOND)
    await bench.until("stalled")
    await channel.stop()
    never.set()


async def test_waits_are_shown_with_their_end(bench: Bench) -> None:
    bench.telegram.fail("getUpdates", Wrong.too_many(30))
    await bench.channel.start(bench.door.admit)
    await bench.until("backoff")
    assert bench.channel.status()[0].extra["retryAt"] == ms(NOON + 30 * SECOND)
    await bench.asleep()
    await bench.clock.advance(30 * SECOND)
    await bench.until("connected")
    assert "retryAt" not in bench.channel.status()[0].extra


async def test_a_connection_that_keeps_breaking_is_degraded_until_it_holds(bench: Bench) -> None:
    await bench.channel.start(bench.door.admit)
    for n in range(3):
        await bench.until("connected")
        bench.telegram.fail("getUpdates", Wrong.server_error())
        bench.telegram.user_writes(str(n))  # ends the poll that is on its way
        await bench.until("backoff")
        await bench.asleep()
        await bench.clock.advance(SECOND)
    await bench.until("connected")
    (status,) = bench.channel.status()
    assert (status.runtime, status.connected) == ("degraded", True)
    await bench.clock.advance(timedelta(minutes=11))
    assert bench.channel.status()[0].runtime == "connected"


@pytest.mark.parametrize("way", [{"migrate_to_chat_id": -1002}, {"migrate_from_chat_id": -100}])
async def test_a_group_that_became_a_supergroup_takes_its_routes_along(
    bench: Bench, way: dict[str, Any]
) -> None:
    channel = bench.make(groups=("-100",))
    await stood(bench, channel)
    here = -100 if "migrate_to_chat_id" in way else -1002
    bench.telegram.user_writes("", chat_id=here, chat_type="group", **way)
    bench.telegram.user_writes("after")
    await bench.door.next()
    assert bench.moves == [("telegram", "default", "-100", "-1002")]
    ((_, what, detail),) = bench.remarks
    assert (what, detail) == ("channel.migrated", {"from": "-100", "to": "-1002"})
    assert "rename it under channels.telegram groups" in channel.status()[0].extra["note"]
    await channel.stop()


async def test_a_probe_looks_into_the_groups_of_the_config(bench: Bench) -> None:
    channel = bench.make(groups=("-100", "-200"))
    good = await channel.probe("default")
    assert (good["ok"], good["detail"]) == (True, "works, audit ok")
    bench.telegram.leave(-200)
    bad = await channel.probe("default")
    assert bad["ok"] is False
    assert bad["detail"] == "audit failed: -200 (the bot's status there is left)"
    bench.telegram.fail("getChatMember", Wrong.bad_request("Bad Request: chat not found"))
    assert "-100 (Bad Request: chat not found)" in (await channel.probe("default"))["detail"]


async def test_a_probe_tells_who_else_takes_the_updates(bench: Bench) -> None:
    hook = Wrong(raw=b'{"ok": true, "result": {"url": "https://elsewhere.example/"}}')
    bench.telegram.fail("getWebhookInfo", hook)
    told = await bench.channel.probe("default")
    assert (told["ok"], told["class"]) == (False, "conflict")


async def test_a_config_that_expects_what_the_platform_keeps_back_is_told(bench: Bench) -> None:
    channel = bench.make(groups=("-100",), hears_all=True)
    await stood(bench, channel)
    assert str(channel.status()[0].extra["note"]).startswith("privacy mode is on")
    await channel.stop()
