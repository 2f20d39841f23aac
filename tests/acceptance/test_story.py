"""The main job as its user lives it: real process, real sockets, platforms on loopback."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from engine.testing.telegram import TelegramStandIn, Wrong
from tests.fakes.gateway_process import gateway
from tests.fakes.openai_server import KEY, OpenAIServer, Plan

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]

LOCAL = '{ gateway: { mode: "local" }, agents: { defaults: { heartbeat: { target: "last" } } } }'


def telegram_config(telegram: TelegramStandIn, model: OpenAIServer | None = None) -> str:
    config: dict[str, object] = {
        "gateway": {"mode": "local"},
        "agents": {"defaults": {"heartbeat": {"every": "30m", "target": "last"}}},
        "channels": {
            "telegram": {
                "botToken": telegram.token,
                "apiRoot": telegram.root,
                "allowFrom": ["42"],
            }
        },
    }
    if model is not None:
        config["models"] = {"providers": {"fake": {"baseUrl": model.base_url, "apiKey": KEY}}}
        config["agents"] = {
            "defaults": {
                "model": {"primary": "fake/tiny"},
                "heartbeat": {"every": "30m", "target": "last"},
            }
        }
    return json.dumps(config)


async def test_a_person_writes_once_and_alerts_find_them(tmp_path: Path) -> None:
    async with (
        TelegramStandIn() as telegram,
        OpenAIServer(Plan(text="hello Ann"), Plan(text="The build is red")) as model,
        gateway(tmp_path, telegram_config(telegram, model)) as engine,
    ):
        assert await engine.start() is None
        telegram.user_writes("hello", chat_id=42)
        assert (await telegram.next_sent()).visible == "hello Ann"
        answer = await engine.tell("look at the build")
        alert = await telegram.next_sent()
        assert (alert.chat_id, alert.visible) == (42, "The build is red")
        record = await engine.call("last-heartbeat")
        assert answer["outcome"]["runId"] == record["runId"]
        assert (record["status"], record["channel"], record["to"]) == ("sent", "telegram", "42")
        assert record["target"]["via"] == "last"
        assert await engine.stop() == 0
    told = engine.said.decode()
    assert telegram.token not in told
    assert KEY not in told


async def test_before_anybody_wrote_the_silence_has_a_reason(tmp_path: Path) -> None:
    async with (
        TelegramStandIn() as telegram,
        gateway(tmp_path, telegram_config(telegram)) as engine,
    ):
        await engine.start()
        record = (await engine.tell("look"))["outcome"]
        assert (record["status"], record["reason"]) == ("skipped", "no-route")
        assert "send the bot one message" in record["explain"]


async def test_a_stranger_is_told_a_code_and_not_answered(tmp_path: Path) -> None:
    async with (
        TelegramStandIn() as telegram,
        gateway(tmp_path, telegram_config(telegram)) as engine,
    ):
        await engine.start()
        telegram.user_writes("let me in", chat_id=666)
        telegram.user_writes("hello", chat_id=42)
        while 42 not in {message.chat_id for message in telegram.sent}:
            await telegram.next_sent()
        (told,) = [message.text for message in telegram.sent if message.chat_id == 666]
        assert "engine pairing approve telegram" in told


async def test_a_rate_limit_delays_the_message_and_loses_nothing(tmp_path: Path) -> None:
    async with (
        TelegramStandIn() as telegram,
        gateway(tmp_path, telegram_config(telegram)) as engine,
    ):
        await engine.start()
        telegram.fail("sendMessage", Wrong.too_many(1))
        telegram.user_writes("hello", chat_id=42)
        assert (await telegram.next_sent(within=10)).visible == "You said: hello"
        assert len(telegram.sent) == 1


async def test_a_job_whose_local_model_server_is_down_is_skipped_and_says_so(
    tmp_path: Path,
) -> None:
    async with OpenAIServer() as model:
        url = model.base_url
    config = {
        "gateway": {"mode": "local"},
        "models": {"providers": {"fake": {"baseUrl": url, "apiKey": KEY}}},
        "agents": {"defaults": {"model": {"primary": "fake/tiny"}}},
        "cron": {"jobs": {"brief": {"schedule": "0 7 * * *", "message": "brief"}}},
    }
    async with gateway(tmp_path, json.dumps(config)) as engine:
        await engine.start()
        await engine.call("cron.run", {"id": "brief"})
        entry = {"action": "started"}
        async with asyncio.timeout(20):
            while entry["action"] != "finished":
                entry = (await engine.call("cron.runs", {"id": "brief"}))["entries"][0]
        assert (entry["status"], entry["skipReason"]) == ("skipped", "preflight-unreachable")
        assert "nothing listens on 127.0.0.1:" in entry["because"]


async def test_what_would_be_is_asked_of_a_running_gateway(tmp_path: Path) -> None:
    daily = '{ gateway: { mode: "local", reload: { mode: "off" } }, cron: { tz: "UTC", jobs: {'
    daily += ' brief: { schedule: "0 7 * * *", message: "brief" } } } }'
    async with gateway(tmp_path, daily) as engine:
        await engine.start()
        same = await engine.call("cron.plan")
        assert (same["changes"], same["unchanged"]) == ([], 1)
        (tmp_path / "engine.json").write_text(daily.replace("brief:", "news:"))
        plan = await engine.call("cron.plan")
        assert [(one["act"], one["key"]) for one in plan["changes"]] == [
            ("add", "news"),
            ("disable", "brief"),
        ]
        told = await engine.call("cron.simulate", {"days": 2, "expect": {"news": 2, "brief": 0}})
        assert (told["ok"], told["truncated"]) == (True, False)
        assert "news" in {row["job"] for row in told["timeline"]}
        assert (await engine.call("cron.audit"))["ok"]
        assert len((await engine.call("cron.next", {"count": 2}))["occurrences"]) == 2


async def test_jobs_of_the_config_file_fire_and_arrive(tmp_path: Path) -> None:
    config = """{ gateway: { mode: "local" }, cron: { jobs: {
        brief: { schedule: "every 1s", message: "the brief", deliver: "local:inbox" },
        probe: { schedule: "every 1s", command: ["echo", "disk ok"], deliver: "local:inbox" },
    } } }"""
    async with gateway(tmp_path, config) as engine:
        await engine.start()
        texts: set[str] = set()
        async with asyncio.timeout(20):
            while not {"Done: the brief", "disk ok"} <= texts:
                page = await engine.call("inbox.list", {})
                texts = {letter["text"] for letter in page["messages"]}
        with pytest.raises(Exception, match="is defined in"):
            await engine.call("cron.remove", {"id": "cfg:brief"})


async def test_a_stop_lets_a_running_turn_finish(tmp_path: Path) -> None:
    script = tmp_path / "script.json5"
    script.write_text('[{ when: { kind: "heartbeat" }, say: "done in time", takesMs: 1500 }]')
    config = """{ gateway: { mode: "local" },
        models: { providers: { offline: { script: "script.json5" } } },
        agents: { defaults: { heartbeat: { target: "last" } } } }"""
    async with gateway(tmp_path, config) as engine:
        await engine.start()
        await engine.call("wake", {"mode": "now", "text": "take your time"})
        async with asyncio.timeout(10):
            while not engine.rows("SELECT id FROM runs WHERE status = 'running'"):
                await engine.call("health")
        assert await engine.stop() == 0
        assert b"waiting for what runs" in engine.said
        assert b"turns=heartbeat of main" in engine.said
        assert b"atMost=" in engine.said
        assert b"client connected" not in engine.said
    assert engine.rows("SELECT text FROM inbox") == [("done in time",)]
    assert engine.rows("SELECT status FROM runs") == [("ok",)]


async def test_a_message_that_was_admitted_is_answered_after_a_crash(tmp_path: Path) -> None:
    async with (
        TelegramStandIn() as telegram,
        OpenAIServer(Plan(hang=True), Plan(text="here I am")) as model,
        gateway(tmp_path, telegram_config(telegram, model)) as engine,
    ):
        await engine.start()
        telegram.user_writes("are you there?", chat_id=42)
        await model.asked.wait()
        await engine.stop(signal.SIGKILL)
        await engine.start()
        assert (await telegram.next_sent()).visible == "here I am"


async def test_a_followed_inbox_outlives_its_gateway(tmp_path: Path) -> None:
    config = """{ gateway: { mode: "local" }, cron: { jobs: {
        probe: { schedule: "every 1s", command: ["echo", "disk ok"], deliver: "local:inbox" },
    } } }"""
    async with gateway(tmp_path, config) as engine:
        await engine.start()
        words = (sys.executable, "-m", "engine", "inbox", "--follow")
        pipe = asyncio.subprocess.PIPE
        inbox = await asyncio.create_subprocess_exec(
            *words, env=engine.environ, stdout=pipe, stderr=pipe
        )
        assert inbox.stdout is not None
        assert inbox.stderr is not None
        try:
            async with asyncio.timeout(30):
                assert b"disk ok" in await inbox.stdout.readline()
                await engine.stop()
                assert b"has left; waiting for it" in await inbox.stderr.readline()
                await engine.start()
                assert b"is back" in await inbox.stderr.readline()
                latest = engine.rows("SELECT max(at) FROM inbox")
                while engine.rows("SELECT max(at) FROM inbox") == latest:
                    await inbox.stdout.readline()
        finally:
            inbox.kill()
            await inbox.wait()
