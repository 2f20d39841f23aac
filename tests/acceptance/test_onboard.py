"""From an empty home to the first message, asked and answered at a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engine.testing.telegram import TelegramStandIn
from gateway import lock
from tests.acceptance.test_service import Host
from tests.fakes.openai_server import KEY, OpenAIServer, Plan
from tests.fakes.terminal import terminal

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
TOKEN = "4242:a-token-of-the-bot"
SECOND = "4343:a-token-of-another"


class Home:
    """A home of its own, without a service manager."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / ".engine"
        ours = {k: v for k, v in os.environ.items() if not k.startswith("ENGINE_")}
        self.environ = {
            **ours,
            "HOME": str(folder),
            "PATH": "/nowhere",
            "PYTHONPATH": str(ROOT),
            "ENGINE_GATEWAY_PORT": "0",
        }

    def config(self, text: str) -> None:
        self.state.mkdir(exist_ok=True)
        (self.state / "engine.json").write_text(text, "utf-8")

    def files(self) -> dict[str, bytes]:
        found = [path for path in self.state.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.state)): path.read_bytes() for path in found}

    async def engine(self, *words: str) -> tuple[int, dict[str, Any], str]:
        run = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "engine", *words),
            env=self.environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await run.communicate()
        assert run.returncode is not None
        return run.returncode, json.loads(out) if out.startswith(b"{") else {}, err.decode()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    found = Home(tmp_path)
    yield found
    owner = lock.read(found.state)
    if owner is not None:
        os.kill(owner.pid, signal.SIGTERM)
        status, _, _ = await found.engine("gateway", "stop")  # waits for its end
        assert status in (0, 1)


def with_platform(root: str, model: str = "http://127.0.0.1:1/v1") -> str:
    return json.dumps(
        {
            "gateway": {"mode": "local", "port": 0},
            "channels": {"telegram": {"apiRoot": root}},
            "models": {"providers": {"openai": {"baseUrl": model}}},
        }
    )


async def test_a_person_answers_a_few_questions_and_gets_a_message(home: Home) -> None:
    plan = Plan(text="ready")
    async with TelegramStandIn(TOKEN, SECOND) as platform, OpenAIServer(plan) as server:
        home.config(with_platform(platform.root, server.base_url))
        async with terminal("onboard", environ=home.environ) as person:
            await person.answer("Agent [main]")
            await person.answer("Who answers [offline]", "openai")
            await person.answer("Model [gpt-5-mini]")
            await person.answer("API key (OPENAI_API_KEY)", "sk-wrong")
            await person.asks("401: Incorrect API key provided: ***. Fix: give another key")
            await person.answer("Answer again?", "y")
            await person.answer("Who answers", "openai")
            await person.answer("Model")
            await person.answer("API key", KEY)
            await person.asks('openai/gpt-5-mini answered "ready"')
            await person.answer("Channel [telegram]")
            await person.answer("Token of the bot", "no token")
            await person.asks("looks different")
            await person.answer("Token of the bot", TOKEN)
            await person.answer("Your own numeric id", "77")
            await person.asks("works")
            await person.answer("A beat every", "every now and then")
            await person.asks("That is not it")
            await person.answer("A beat every", "1h")
            await person.answer("Inside which hours", "")
            await person.answer("Where its words go [last]")
            await person.asks("1 agent × 14 a day = 14 model calls at most, about 28,000 tokens")
            await person.asks("No service: this machine has no systemctl")
            await person.answer("Start the gateway now?")
            await person.answer("Send a test message?")
            message = await platform.next_sent(within=30)
            assert message.chat_id == 77
            await person.asks("delivered to telegram")
            assert await person.ended() == 0, person.seen
            assert KEY not in person.seen
            assert TOKEN not in person.seen
        config = (home.state / "engine.json").read_text()
        assert '"${TELEGRAM_BOT_TOKEN}"' in config
        assert KEY not in config
        env = home.state / ".env"
        assert env.stat().st_mode & 0o077 == 0
        assert f"TELEGRAM_BOT_TOKEN={TOKEN}\n" in env.read_text()
        # Once more: what is there stays, and the gateway that runs is used.
        before = {k: v for k, v in home.files().items() if k in ("engine.json", ".env")}
        status, told, err = await home.engine("onboard", "--json")
        assert status == 0, err
        assert told["files"] == {"~/.engine/engine.json": "kept"}
        assert told["gateway"] == "running"
        assert before.items() <= home.files().items()
        words = ("--account", "work", "--bot-token", SECOND, "--owner", "88", "--plain")
        status, told, err = await home.engine("onboard", "--json", "--channel", "telegram", *words)
        assert status == 0, err
        assert told["gateway"] == "running"
        assert told["test"]["route"]["accountId"] == "work"


async def test_who_presses_ctrl_c_has_changed_nothing(home: Home) -> None:
    async with terminal("onboard", environ=home.environ) as person:
        await person.answer("Agent [main]")
        await person.answer("Who answers [offline]")
        await person.answer("Channel [telegram]", "local")
        await person.asks("A beat every")
        assert await person.gives_up() == 130
    assert not home.state.exists()


async def test_a_bot_nobody_knows_is_refused_before_anything_is_written(home: Home) -> None:
    async with TelegramStandIn(TOKEN) as platform:
        home.config(with_platform(platform.root))
        before = home.files()
        words = ("--channel", "telegram", "--bot-token", "1:not-this-one", "--owner", "77")
        status, told, err = await home.engine("onboard", "--json", *words)
        assert status == 1
        assert told["error"]["code"] == "try-failed"
        assert "auth" in err
        assert home.files() == before


def test_where_there_is_a_manager_it_becomes_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The interpreter of a test may lie where a service's must not."""
    host = Host(tmp_path, monkeypatch, capsys)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    monkeypatch.setenv("ENGINE_GATEWAY_PORT", "0")
    try:
        answer = host.type("onboard", "--json", "--channel", "local")
        assert answer.status == 0, answer.err
        told = json.loads(answer.out)
        assert (told["service"], told["gateway"]) == (True, "started")
        assert told["test"]["ok"]
        assert host.unit.exists()
        assert "sudo loginctl enable-linger" in answer.err
        again = json.loads(host.type("onboard", "--json").out)
        assert (again["service"], again["gateway"]) == (True, "running")
    finally:
        owner = lock.read(host.state)
        if owner is not None:
            os.kill(owner.pid, signal.SIGKILL)
