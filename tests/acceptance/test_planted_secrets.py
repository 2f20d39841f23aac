"""A secret planted in every place that may hold one is found in no output and no file (P7)."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel

from engine.cli.main import main
from engine.config.schema import Config
from engine.config.secrets import Secret
from engine.testing.telegram import TelegramStandIn
from gateway.client import call
from gateway.protocol.methods import METHODS
from jobs.errors import EngineError
from tests.fakes.gateway_process import GatewayProcess, gateway
from tests.fakes.hook_server import HookServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

NOWHERE: Final = "http://127.0.0.1:9"
VAULT: Final = """#!{python}
import json, sys
ask = json.load(sys.stdin)
values = {{one: "plant-exec-" + one for one in ask["ids"]}}
print(json.dumps({{"protocolVersion": 1, "values": values}}))
"""
# Read-only methods that need no parameters, and those that do.
PARAMS: Final[dict[str, dict[str, Any]]] = {
    "cron.get": {"id": "hooked"},
    "cron.runs": {"id": "hooked"},
    "cron.explain": {"runId": "none"},
    "config.schema.lookup": {"path": "gateway.auth.token"},
    "channels.status": {"probe": True},
    "health": {"probe": True},
    "logs.tail": {"limit": 1000},
    "secrets.reload": {},
}
LOOKS: Final = (
    "health", "status", "cron.status", "cron.list", "cron.get", "cron.runs", "cron.timeline",
    "cron.plan", "heartbeat.list", "heartbeat.history", "heartbeat.explain", "agents.list",
    "models.list", "channels.status", "channels.routes", "outbox.list", "heartbeat.inbox",
    "inbox.list", "config.get", "config.schema", "config.schema.lookup", "logs.tail",
    "tools.catalog", "sessions.list", "system-presence", "last-heartbeat", "pairing.list",
    "device.pair.list", "models.authStatus", "gateway.identity.get", "secrets.reload",
)  # fmt: skip
# Commands that read. Those with `{job}` get the name of the job that posts to a webhook.
COMMANDS: Final = (
    "status --json", "health --json", "why", "doctor --json", "gateway status --deep",
    "gateway probe", "heartbeat list", "heartbeat next", "cron list --all", "cron show {job}",
    "cron get {job}", "cron list --all --json", "cron runs {job} --json", "channels status --json",
    "channels list", "channels routes", "outbox list --json", "inbox list --json",
    "config get gateway", "config get channels", "config get models", "config get hooks",
    "config get cron.jobs", "config get agents", "config get env", "config get secrets",
    "config diff", "logs --limit 1000", "logs --limit 1000 --json", "token status",
    "secrets audit --json", "secrets audit --allow-exec", "security audit --deep",
)  # fmt: skip


@dataclass(slots=True)
class Garden:
    """What was planted where."""

    planted: dict[str, str] = field(default_factory=dict)  # secret → place

    def plant(self, place: str, value: str | None = None) -> str:
        """A secret nobody could have meant otherwise."""
        made = value or f"plant-{len(self.planted)}-{place.replace('.', '-')}-4Zx9"
        self.planted[made] = place
        return made

    def found(self, text: str) -> list[str]:
        """The places whose secret stands in a text."""
        return [place for secret, place in self.planted.items() if secret in text]


def secret_keys(model: type[BaseModel] = Config, *path: str) -> Iterator[tuple[str, ...]]:
    """Every key of the config that holds a secret."""
    for name, info in model.model_fields.items():
        here = (*path, info.alias or name)
        for inner in _inner(info.annotation):
            if inner is Secret:
                yield here
            elif isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from secret_keys(inner, *here)


def _inner(annotation: Any) -> Iterator[Any]:
    found = get_args(annotation)
    yield from (deep for one in found for deep in _inner(one)) if found else iter((annotation,))


def config(
    home: Path, garden: Garden, root: str, token: str, hook: str = NOWHERE
) -> dict[str, Any]:
    """A config with a secret in every place, of every kind of provider."""
    vault = home / "vault"
    vault.write_text(VAULT.format(python=sys.executable), "utf-8")
    vault.chmod(0o700)
    box = home / "box.json"
    box.write_text(json.dumps({"telegram": garden.plant("file", token)}), "utf-8")
    box.chmod(0o600)
    word = home / "word.txt"
    word.write_text(garden.plant("clientSecretFile") + "\n", "utf-8")
    word.chmod(0o600)
    plant = garden.plant
    garden.plant("exec", "plant-exec-model/key")
    (home / ".env").write_text(
        f"HOOKS_WORD={plant('hooks.token')}\nMY_API_KEY={plant('.env')}\n", "utf-8"
    )
    (home / ".env").chmod(0o600)
    return {
        "gateway": {
            "mode": "local",
            "auth": {
                "mode": "token",
                "token": plant("gateway.auth.token"),
                "password": plant("gateway.auth.password"),
            },
            "remote": {"token": plant("remote.token"), "password": plant("remote.password")},
        },
        "env": {"vars": {"SERVICE_TOKEN": plant("env.vars")}},
        "hooks": {"enabled": True, "token": "${HOOKS_WORD}"},
        "secrets": {
            "providers": {
                "box": {"source": "file", "path": str(box)},
                "vault": {"source": "exec", "command": str(vault)},
            }
        },
        "models": {
            "providers": {
                "far": {
                    "baseUrl": f"{NOWHERE}/v1",
                    "apiKey": {"source": "exec", "provider": "vault", "id": "model/key"},
                    "headers": {"x-quote": plant("headers", 'plant-quo"te\\-header-7Qk2')},
                    "models": [{"id": "m"}],
                }
            }
        },
        "agents": {
            "defaults": {
                "model": "far/m",
                "heartbeat": {
                    "every": "24h",
                    "ping": f"{NOWHERE}/{plant('ping')}",
                    "checks": [
                        {"mail": {"host": "127.0.0.1", "user": "u", "password": plant("mail")}}
                    ],
                },
            }
        },
        "channels": {
            "telegram": {
                "botToken": {"source": "file", "provider": "box", "id": "/telegram"},
                "apiRoot": root,
                "allowFrom": ["42"],
                "accounts": {
                    "default": {},
                    "hooked": {
                        "enabled": False,
                        "botToken": plant("botToken"),
                        "webhookUrl": "https://example.org/t",
                        "webhookSecret": plant("webhookSecret"),
                    },
                },
            },
            "qqbot": {
                "enabled": False,
                "appId": "1",
                "clientSecret": plant("clientSecret"),
                "accounts": {"b": {"appId": "2", "clientSecretFile": str(word)}},
            },
            "webhook": {
                "url": f"{NOWHERE}/{plant('webhook.url')}",
                "secret": plant("webhook.secret"),
                "allowPrivate": True,
            },
            "apprise": {"urls": [f"ntfy://{plant('apprise')}@127.0.0.1/x"], "enabled": False},
        },
        "cron": {
            "webhookToken": plant("cron.webhookToken"),
            "webhookSsrfPolicy": {"dangerouslyAllowPrivateNetwork": True},
            "jobs": {
                "hooked": {
                    "schedule": "0 5 1 1 *",
                    "command": ["echo", "done"],
                    "deliver": f"{hook}/{plant('job.webhook')}?key={plant('job.key')}",
                }
            },
        },
    }


def test_there_is_a_place_in_the_garden_for_every_secret_of_the_schema(tmp_path: Path) -> None:
    """A key added tomorrow is planted tomorrow."""
    planted = set(_keys(config(tmp_path, Garden(), NOWHERE, "plant")))
    account = {"accounts"}
    wanted = {
        tuple(part for part in path if part not in account)[-1]
        for path in secret_keys()
        if path != ("store", "url")  # a database; hidden for its credentials: test_masks
    }
    assert wanted <= planted


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _keys(inner)


async def _called(process: GatewayProcess, method: str, token: str) -> str:
    try:
        answer = await asyncio.to_thread(
            call, method, PARAMS.get(method), url=process.url, token=token
        )
    except EngineError as error:
        return f"{error} {error.detail}"
    return json.dumps(answer, ensure_ascii=False)


def _typed(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints, on both streams."""
    capsys.readouterr()
    with suppress(SystemExit):
        main(words.format(job="hooked").split())
    printed = capsys.readouterr()
    return printed.out + printed.err


async def test_no_output_and_no_file_holds_a_planted_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, garden = tmp_path / "home", Garden()
    home.mkdir(mode=0o700)
    outputs: dict[str, str] = {}
    monkeypatch.setenv("ENGINE_STATE_DIR", str(home))
    async with TelegramStandIn() as telegram, HookServer() as hook:
        hook.answers = [(404, {})] * 9
        told = config(home, garden, telegram.root, telegram.token, hook.url)
        async with gateway(home, json.dumps(told)) as process:
            (home / "engine.json").chmod(0o600)
            token = told["gateway"]["auth"]["token"]
            assert await process.start() is None, process.said.decode()
            await _called(process, "cron.list", token)
            await asyncio.to_thread(
                call, "cron.run", {"id": "hooked"}, url=process.url, token=token
            )
            await process.says("words were not delivered")
            for method in LOOKS:
                assert method in METHODS
                outputs[f"rpc {method}"] = await _called(process, method, token)
            outputs["bad token"] = await _called(process, "health", "wrong-token-wrong-token")
            outputs |= await _each(COMMANDS, capsys)
            assert await process.stop() == 0
            down = await _each(DOWN, capsys)
            outputs |= {f"{words} (down)": text for words, text in down.items()}
        outputs["stdout and stderr of the gateway"] = process.said.decode()
    outputs |= dict(_files(home))
    leaks = {name: places for name, text in outputs.items() if (places := garden.found(text))}
    assert leaks == {}


DOWN: Final = ("cron show {job}", "cron list --json", "logs --limit 1000")


async def _each(commands: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return {words: await asyncio.to_thread(_typed, words, capsys) for words in commands}


# Where secrets are kept on purpose, by the one who wrote them, and the store of jobs.
_KEPT: Final = ("engine.json", ".env", "box.json", "word.txt", "vault", "gateway.token")
_STORE: Final = ("state.db", "state.db-wal", "state.db-shm")


def _files(home: Path) -> Iterator[tuple[str, str]]:
    """Every file of the home but those in which they were planted."""
    for folder, _, names in os.walk(home):
        for name in names:
            path = Path(folder) / name
            if name in (*_KEPT, *_STORE) or name.startswith("engine.json."):
                continue
            yield str(path.relative_to(home)), path.read_bytes().decode("utf-8", "replace")
