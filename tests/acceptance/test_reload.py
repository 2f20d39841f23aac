"""Edits of the config while the gateway runs: channels, and files that are included.

operations.md §4.1.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from engine.testing.telegram import TelegramStandIn
from gateway.client import call
from jobs.errors import AccessRefused, EngineError
from tests.fakes.gateway_process import gateway, saved
from tests.fakes.hook_server import HookServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]


def config(telegram: TelegramStandIn | None, *people: str) -> str:
    channels = {}
    if telegram is not None:
        channels["telegram"] = {
            "botToken": telegram.token,
            "apiRoot": telegram.root,
            "allowFrom": list(people),
        }
    quick = {"mode": "local", "reload": {"debounceMs": 20}}
    return json.dumps({"gateway": quick, "channels": channels})


async def test_a_channel_comes_and_changes_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    async with TelegramStandIn() as telegram, gateway(tmp_path, config(None)) as engine:
        await engine.start()
        saved(file, config(telegram, "42"))
        await engine.says("config reloaded")
        telegram.user_writes("hello", chat_id=42)
        assert (await telegram.next_sent()).visible == "You said: hello"
        saved(file, config(telegram, "42", "43"))
        await engine.says("config reloaded", 2)
        telegram.user_writes("me too", chat_id=43)
        assert (await telegram.next_sent()).chat_id == 43
        saved(file, config(None))
        await engine.says("config reloaded", 3)
        assert "telegram" not in (await engine.call("channels.status"))["channelOrder"]
        assert await engine.stop() == 0
        assert len(telegram.sent) == 2
    assert telegram.token not in engine.said.decode()


async def test_where_webhooks_may_go_and_their_secret_change_without_a_restart(
    tmp_path: Path,
) -> None:
    def hooked(cron: dict[str, object]) -> str:
        quick = {"mode": "local", "reload": {"debounceMs": 20}}
        return json.dumps({"gateway": quick, "cron": cron})

    async with HookServer() as server, gateway(tmp_path, hooked({})) as engine:
        await engine.start()
        job = {
            "schedule": {"kind": "every", "everyMs": 86_400_000},
            "payload": {"kind": "command", "argv": ["echo", "done"]},
            "delivery": {"mode": "webhook", "to": server.url},
            "name": "probe",
        }
        added = await engine.call("cron.add", job)
        await engine.call("cron.run", {"id": added["id"]})
        await engine.says("words were not delivered")
        (refused,) = (await engine.call("cron.runs", {"id": added["id"]}))["entries"]
        assert refused["deliveryReason"] == "address-refused"
        assert "cron.webhookSsrfPolicy.allowedHostnames" in refused["deliveryFix"]
        policy = {"allowedHostnames": ["127.0.0.1"]}
        saved(
            tmp_path / "engine.json",
            hooked({"webhookToken": "sign-with-this", "webhookSsrfPolicy": policy}),
        )
        await engine.says("config reloaded")
        await engine.call("cron.run", {"id": added["id"]})
        await server.arrived.wait()
        (hook,) = server.hooks
        assert hook.headers["authorization"] == "Bearer sign-with-this"


async def test_an_edit_of_an_included_file_counts(tmp_path: Path) -> None:
    part = tmp_path / "beats.json"
    part.write_text('{ heartbeat: { every: "30m" } }')
    whole = """{ gateway: { mode: "local", reload: { debounceMs: 20 } },
        agents: { defaults: { $include: "./beats.json" } } }"""
    async with gateway(tmp_path, whole) as engine:
        await engine.start()
        saved(part, '{ heartbeat: { every: "7m" } }')
        await engine.says("config reloaded")
        health = await engine.call("health", {"probe": True})
        assert health["agents"][0]["heartbeat"]["every"] == "7m"


async def test_a_file_that_is_no_text_is_refused_like_any_bad_edit(tmp_path: Path) -> None:
    file = tmp_path / "engine.json"
    async with gateway(tmp_path, config(None)) as engine:
        await engine.start()
        file.write_bytes(b"\xff\xfe\x00{")
        await engine.says("config was not reloaded")
        saved(file, config(None))
        await engine.says("the config is valid again")
        file.write_bytes(b"\xff\xfe\x00{")
        await engine.says("config was not reloaded", times=2)
        saved(file, config(None)[:-1] + ', "cron": {"enabled": false}}')
        await engine.says("config reloaded")


async def test_a_changed_token_is_asked_for_at_once(tmp_path: Path) -> None:
    def guarded(token: str) -> str:
        quick = {"mode": "local", "reload": {"debounceMs": 20}, "auth": {"token": token}}
        return json.dumps({"gateway": quick})

    async with gateway(tmp_path, guarded("the-token-of-today")) as engine:
        await engine.start(ENGINE_GATEWAY_PROT="1")
        await engine.says("ENGINE_GATEWAY_PROT has no meaning; did you mean ENGINE_GATEWAY_PORT?")
        saved(tmp_path / "engine.json", guarded("the-token-of-tomorrow"))
        await engine.says("config reloaded")
        health = asyncio.to_thread(call, "health", url=engine.url, token="the-token-of-tomorrow")
        assert (await health)["ok"]
        with pytest.raises(AccessRefused):
            await asyncio.to_thread(call, "health", url=engine.url, token="the-token-of-today")


async def test_what_no_gateway_starts_with_is_neither_written_nor_started_with(
    tmp_path: Path,
) -> None:
    file = tmp_path / "engine.json"
    async with gateway(tmp_path, config(None)) as engine:
        await engine.start()
        before, told = file.read_text(), await engine.call("config.get")
        shared = {"hooks": {"enabled": True, "token": engine.token}}
        for wish in (shared, {"gateway": {"auth": {"mode": "none"}, "bind": "lan"}}):
            params = {"raw": json.dumps(wish), "baseHash": told["hash"]}
            with pytest.raises(EngineError, match=r"the gateway's own token|without auth"):
                await engine.call("config.patch", params)
            assert file.read_text() == before
        saved(file, "{ this is no config")
        await engine.says("config was not reloaded")
        with pytest.raises(EngineError, match=r"engine\.json"):
            await engine.call("gateway.restart.request", {"reason": "try"})
        assert (await engine.call("health"))["ok"]


async def test_secrets_are_read_again_all_of_them_or_none(tmp_path: Path) -> None:
    """operations.md §5: what fails is told once, those of before hold, and its end is told once."""
    box = tmp_path / "box.json"

    def kept(**secrets: str) -> None:
        saved(box, json.dumps(secrets))
        box.chmod(0o600)

    ref = {"source": "file", "provider": "box"}
    text = json.dumps(
        {
            "gateway": {
                "mode": "local",
                "reload": {"mode": "off"},
                "auth": {"mode": "password", "password": {**ref, "id": "/password"}},
            },
            "cron": {"webhookToken": {**ref, "id": "/hook"}},
            "secrets": {"providers": {"box": {"source": "file", "path": str(box)}}},
        }
    )
    kept(password="first-word-first-word", hook="sign-with-this")
    async with gateway(tmp_path, text) as engine:
        await engine.start()

        async def ask(method: str, password: str) -> object:
            return await asyncio.to_thread(call, method, None, url=engine.url, password=password)

        assert await ask("secrets.reload", "first-word-first-word")
        kept(password="other-word-other-word")  # the other one is gone: neither is taken
        for _ in range(2):
            with pytest.raises(EngineError, match=r"cron\.webhookToken"):
                await ask("secrets.reload", "first-word-first-word")
        kept(password="other-word-other-word", hook="sign-with-that")
        with pytest.raises(EngineError, match="4001"):  # who asked came in by the old word
            await ask("secrets.reload", "first-word-first-word")
        with pytest.raises(AccessRefused):
            await ask("health", "first-word-first-word")
        assert await ask("health", "other-word-other-word")
        assert await engine.stop() == 0
    said = engine.said.decode()
    assert said.count("SECRETS_RELOADER_DEGRADED") == 1
    assert said.count("SECRETS_RELOADER_RECOVERED") == 1
    for word in ("first-word", "other-word", "sign-with"):
        assert word not in said
