"""`engine channels` and `engine pairing list` while no gateway runs: no word claims it works."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest

from engine.clock import SystemClock
from engine.messages.address import ChatType
from engine.messages.target import LastRoute
from engine.store import sessions
from gateway.store import pairings
from jobs.store.db import Database
from tests.unit.engine.cli.conftest import Engine

pytestmark = pytest.mark.usefixtures("nobody")

CONFIG = """{ channels: {
  defaults: { groupPolicy: "open" },
  telegram: { accounts: { a: { botToken: "1:a" }, b: {}, c: { enabled: false, botToken: "1:b" } } },
  qqbot: { accounts: { gone: { appId: "1", clientSecretFile: "/nowhere/secret" } } },
} }"""
EXPECTED = [
    ("local", "default", "configured"),
    ("telegram", "a", "configured"),
    ("telegram", "b", "not-configured"),
    ("telegram", "c", "disabled"),
    ("qqbot", "gone", "configured-unavailable"),
]


def test_the_first_line_says_that_the_gateway_is_down_and_nothing_says_ok(
    engine: Engine, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text(CONFIG)
    said = engine("channels", "status")
    first, head, *rows, _ = said.out.splitlines()
    assert said.status == 3
    assert first.startswith("The gateway is not running")
    assert head.split() == ["CHANNEL", "ACCOUNT", "STATE"]
    assert [tuple(row.split(maxsplit=2)) for row in rows] == [
        (name, ident, f"{word} (gateway down)") for name, ident, word in EXPECTED
    ]
    assert "OK" not in said.out
    assert "connected" not in said.out


def test_json_tells_the_error_and_what_the_config_says(engine: Engine, home: Path) -> None:
    (home / ".engine" / "engine.json").write_text(CONFIG)
    said = engine("channels", "status", "--json")
    told = json.loads(said.out)
    assert (said.status, told["ok"], told["configOnly"]) == (3, False, True)
    found = [
        (name, one["accountId"], one["config"])
        for name, accounts in told["channelAccounts"].items()
        for one in accounts
    ]
    assert found == EXPECTED
    assert not any(one["connected"] for one in told["channelAccounts"]["telegram"])


def test_whom_a_message_without_an_account_leaves_by_is_warned_of_all_the_same(
    engine: Engine, home: Path
) -> None:
    """channels.md §2: `channels status` warns of a missing default account."""
    (home / ".engine" / "engine.json").write_text(CONFIG)
    warned = [line for line in engine("channels", "status").out.splitlines() if "warning:" in line]
    assert len(warned) == 1
    assert 'Outbound without an account uses "a"' in warned[0]
    told = json.loads(engine("channels", "status", "--json").out)
    assert [f"warning: {one}" for one in told["warnings"]] == warned


def test_a_credential_may_come_from_the_environment(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".engine" / "engine.json").write_text(
        "{ channels: { telegram: {}, qqbot: { appId: '1' } } }"
    )
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:a")
    rows = engine("channels", "status").out.splitlines()[2:]
    assert [row.split()[2] for row in rows] == ["configured", "configured", "not-configured"]


def test_a_variable_nobody_set_is_no_credential(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".engine" / "engine.json").write_text(
        "{ channels: { telegram: { botToken: '${BOT_OF_MINE}' } } }"
    )
    assert "configured-unavailable" in engine("channels", "status").out
    monkeypatch.setenv("BOT_OF_MINE", "1:a")
    assert "configured-unavailable" not in engine("channels", "status").out


@pytest.mark.parametrize("command", ["channels status", "channels routes", "outbox list"])
def test_a_channel_nobody_knows_is_refused_and_not_empty(engine: Engine, command: str) -> None:
    said = engine(*command.split(), "--channel", "telegarm")
    assert (said.status, said.out) == (2, "")
    assert "unknown channel 'telegarm'" in said.err
    assert "Fix: --channel telegram" in said.err


async def _met(state: Path) -> None:
    """Somebody was let in and has written; somebody else waits, under a tricky name."""
    database = await Database.open(state / "state.db")
    now = SystemClock().now()
    route = LastRoute(
        agent_id="main",
        session_key="agent:main:main",
        channel="telegram",
        account_id="gone",
        to="42",
        chat_type=ChatType.DIRECT,
        peer_label="Ann",
        set_at=now,
        set_by="7",
    )
    ask = partial(pairings.ask, channel="telegram", account_id="a", now=now)
    await database.write(lambda tx: sessions.set_route(tx, route))
    await database.write(
        lambda tx: ask(tx, peer="9", label="\x1b[2JEve\u202e\nBob", code="ABCD2345")
    )
    await database.close()


def test_routes_and_strangers_are_told_from_the_store_and_that_is_said(
    engine: Engine, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text(CONFIG)
    assert engine("pairing", "list").status == 3  # there is no store yet
    asyncio.run(_met(home / ".engine"))
    waiting = engine("pairing", "list")
    assert (waiting.status, "ABCD2345" in waiting.out) == (0, True)
    assert "[2JEve Bob (9)" in waiting.out
    assert not {"\x1b", "\u202e"} & set(waiting.out)
    routes = engine("channels", "routes")
    assert "telegram/gone -> 42 *" in routes.out
    assert "unknown-account" in routes.out
    for said in (waiting, routes):
        assert "answered from the store" in said.err
    told = json.loads(engine("channels", "routes", "--json").out)
    assert [one["usable"] for one in told["routes"]] == [False]
    assert engine("channels", "routes", "--channel", "qq").out.startswith("main: last")
