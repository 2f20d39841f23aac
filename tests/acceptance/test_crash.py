"""kill -9 at each named point, then a restart: no slot lost or run twice, no message lost.

cron.md §11.2, channels.md §11; the points are `jobs.crash.POINTS`.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from engine.testing.telegram import TelegramStandIn
from jobs.crash import POINTS
from jobs.errors import GatewayDown
from tests.acceptance.test_story import telegram_config
from tests.fakes.gateway_process import GatewayProcess, gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]

JOB = """{ gateway: { mode: "local" }, cron: { jobs: {
    probe: { schedule: "every 1s", command: ["echo", "ok"], deliver: "local:inbox" },
} } }"""
KILLED = -signal.SIGKILL


async def crash(engine: GatewayProcess, point: str) -> None:
    """Start a gateway that dies at a point, and wait for that."""
    await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT=point)
    assert await engine.ended() == KILLED


async def until_inbox(engine: GatewayProcess, count: int) -> list[str]:
    """Wait until so many messages have arrived; returns their ids."""
    async with asyncio.timeout(20):
        while True:
            page = await engine.call("inbox.list", {})
            if page["total"] >= count:
                return [letter["id"] for letter in page["messages"]]


@pytest.mark.parametrize("point", ["after-claim", "after-turn", "after-outbox-commit", "mid-send"])
async def test_a_slot_is_neither_lost_nor_run_twice(tmp_path: Path, point: str) -> None:
    async with gateway(tmp_path, JOB) as engine:
        await crash(engine, point)
        first = engine.rows("SELECT id, slot, status FROM runs ORDER BY id LIMIT 1")
        assert len(first) == 1
        await engine.start()
        await until_inbox(engine, 2)
        await engine.stop()
    run_id, slot, _ = first[0]
    slots = engine.rows("SELECT slot, count(*) FROM runs WHERE slot IS NOT NULL GROUP BY slot")
    assert all(count == 1 for _, count in slots)
    story = [row for row in engine.rows("SELECT id, status, reason FROM runs") if row[0] == run_id]
    interrupted = point == "after-turn"
    assert story == [(run_id, "failed", "interrupted") if interrupted else (run_id, "ok", None)]
    assert slot is not None
    letters = engine.rows("SELECT id, text FROM inbox")
    assert len(letters) == len({letter[0] for letter in letters})
    mine = [letter for letter in letters if run_id in letter[0]]
    assert len(mine) == (0 if interrupted else 1)


async def test_no_open_row_is_left_behind(tmp_path: Path) -> None:
    async with gateway(tmp_path, JOB) as engine:
        await crash(engine, "after-turn")
        await engine.start()
        await until_inbox(engine, 1)
        await engine.stop()
    open_rows = engine.rows(
        "SELECT id, status FROM runs WHERE status IN ('claimed', 'running', 'deferred')"
    )
    assert open_rows == []


@pytest.mark.parametrize(
    ("point", "arrived", "state"),
    [
        ("after-outbox-commit", 1, "delivered"),
        ("mid-send", 0, "unknown"),
        ("after-send", 1, "unknown"),
    ],
)
async def test_a_platform_message_is_sent_or_said_to_be_unknown(
    tmp_path: Path, point: str, arrived: int, state: str
) -> None:
    async with (
        TelegramStandIn() as telegram,
        gateway(tmp_path, telegram_config(telegram)) as engine,
    ):
        telegram.user_writes("hello", chat_id=42)
        await crash(engine, point)
        assert len(telegram.sent) == (1 if point == "after-send" else 0)
        await engine.start()
        if state == "delivered":
            await telegram.next_sent()
        telegram.user_writes("still there?", chat_id=42)
        async with asyncio.timeout(20):
            while not any("still there?" in message.visible for message in telegram.sent):
                await telegram.next_sent()
        await engine.stop()
        first = [message for message in telegram.sent if message.visible == "You said: hello"]
        assert len(first) == arrived
    states = [row[0] for row in engine.rows("SELECT state FROM outbox ORDER BY id")]
    assert states == [state, "delivered"]


async def test_an_event_that_asked_for_a_beat_asks_again(tmp_path: Path) -> None:
    config = (
        '{ gateway: { mode: "local" }, agents: { defaults: { heartbeat: { target: "last" } } } }'
    )
    async with gateway(tmp_path, config) as engine:
        await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT="after-turn")
        with pytest.raises(GatewayDown, match="went away without a word"):
            await engine.tell("the kettle boils")
        assert await engine.ended() == KILLED
        await engine.start()
        await until_inbox(engine, 1)
        await engine.stop()
    assert engine.rows("SELECT text FROM inbox") == [("Reminder: the kettle boils",)]


MORE = """{ gateway: { mode: "local" }, cron: { jobs: {
    probe: { schedule: "every 1s", command: ["echo", "ok"], deliver: "local:inbox" },
    other: { schedule: "every 1s", command: ["true"] },
} } }"""


async def test_jobs_of_a_config_are_applied_all_or_none(tmp_path: Path) -> None:
    async with gateway(tmp_path, MORE) as engine:
        died = await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT="mid-apply")
        assert died == KILLED
        assert engine.rows("SELECT id FROM jobs WHERE kind = 'cron'") == []
        assert engine.rows("SELECT id FROM audit WHERE subject LIKE 'cfg:%'") == []
        assert await engine.start() is None
        await until_inbox(engine, 1)
    assert len(engine.rows("SELECT id FROM jobs WHERE kind = 'cron'")) == 2


async def test_all_jobs_are_paused_or_none(tmp_path: Path) -> None:
    async with gateway(tmp_path, MORE) as engine:
        await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT="mid-pause")
        with pytest.raises(GatewayDown):
            await engine.call("cron.pause", {"all": True})
        assert await engine.ended() == KILLED
    assert engine.rows("SELECT id FROM jobs WHERE paused IS NOT NULL") == []


async def test_all_jobs_go_on_or_none_and_their_slots_are_told_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, MORE) as engine:
        await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT="mid-resume")
        await engine.call("cron.pause", {"all": True})
        with pytest.raises(GatewayDown):
            await engine.call("cron.resume", {"all": True})
        assert await engine.ended() == KILLED
        assert len(engine.rows("SELECT id FROM jobs WHERE paused IS NOT NULL")) == 2
        await engine.start()
        await engine.call("cron.resume", {"all": True})
        await until_inbox(engine, 1)
        await engine.stop()
    slots = engine.rows("SELECT job_id, slot, count(*) FROM runs GROUP BY 1, 2")
    assert all(count == 1 for _, _, count in slots)


async def test_slots_that_are_backfilled_begin_after_a_restart(tmp_path: Path) -> None:
    async with gateway(tmp_path, MORE) as engine:
        await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT="after-backfill")
        await until_inbox(engine, 1)
        to = engine.rows("SELECT max(slot) FROM runs WHERE job_id = 'cfg:probe'")[0][0]
        span = {"fromMs": to - 2000, "toMs": to, "policy": "all"}
        with pytest.raises(GatewayDown):
            await engine.call("cron.backfill", {"id": "cfg:probe", **span})
        assert await engine.ended() == KILLED
        asked = engine.rows("SELECT id FROM runs WHERE trigger_kind = 'backfill'")
        assert asked
        await engine.start()
        letters: list[str] = []
        while not all(any(run_id in letter for letter in letters) for (run_id,) in asked):
            letters = await until_inbox(engine, len(letters) + 1)
        await engine.stop()
    ended = engine.rows("SELECT status FROM runs WHERE trigger_kind = 'backfill'")
    assert ended == [("ok",)] * len(asked)


WATCHED = """{ gateway: { mode: "local" }, cron: { jobs: {
    probe: { schedule: "0 0 1 1 *", command: ["true"], expectWithin: "1s",
             failureAlert: { channel: "local", to: "inbox" } },
} } }"""


async def test_a_dead_mans_alarm_arrives_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, WATCHED) as engine:
        await crash(engine, "after-alarm")
        assert len(engine.rows("SELECT key FROM outbox")) == 1
        await engine.start()
        await until_inbox(engine, 1)
        await engine.stop()
    texts = engine.rows("SELECT text FROM inbox")
    assert len(texts) == 1
    assert "has not succeeded for 1s" in texts[0][0]


async def test_a_migration_that_was_cut_starts_over(tmp_path: Path) -> None:
    async with gateway(tmp_path, JOB) as engine:
        assert await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT="mid-migration") == KILLED
        assert await engine.start() is None
        await until_inbox(engine, 1)


@pytest.mark.timeout(150)
async def test_ten_deaths_around_commits_lose_no_slot_and_repeat_no_message(
    tmp_path: Path,
) -> None:
    """cron.md §23-5: with the named points more than twenty, at the start and amid the work."""
    async with gateway(tmp_path, JOB) as engine:
        await engine.start()
        await until_inbox(engine, 1)
        await engine.stop()
        for commit in (1, 2, 4, 6, 9):
            for point in (f"before-commit:{commit}", f"after-commit:{commit}"):
                died = await engine.start(ENGINE_TESTING="1", ENGINE_CRASH_AT=point)
                assert (died if died is not None else await engine.ended()) == KILLED
        said = len(engine.rows("SELECT id FROM inbox WHERE reason IS NULL"))
        await engine.start()
        await until_inbox(engine, said + 2)
        await engine.stop()
        assert await engine.start("cron", "audit", "--since", "1d") == 0, engine.said.decode()
    assert engine.rows("SELECT id, enabled FROM jobs WHERE kind = 'cron'") == [("cfg:probe", 1)]
    twice = "SELECT job_id, slot FROM runs WHERE slot IS NOT NULL GROUP BY 1, 2 HAVING count(*) > 1"
    assert engine.rows(twice) == []
    assert (
        engine.rows("SELECT id FROM runs WHERE status IN ('claimed', 'running', 'deferred')") == []
    )
    letters = [letter for (letter,) in engine.rows("SELECT id FROM inbox WHERE reason IS NULL")]
    assert len(letters) == len(set(letters))
    heard = {run for (run,) in engine.rows("SELECT id FROM runs WHERE status = 'ok'")}
    told = [run for run in heard for letter in letters if run in letter]
    assert sorted(told) == sorted(set(told))


def test_every_point_is_tried() -> None:
    tried = {
        "before-commit", "after-commit",
        "after-claim", "after-turn", "after-outbox-commit", "mid-send", "after-send",
        "mid-migration", "mid-apply", "mid-pause", "mid-resume", "after-backfill", "after-alarm",
    }  # fmt: skip
    assert tried == set(POINTS)
