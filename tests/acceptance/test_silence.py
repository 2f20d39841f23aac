"""The support thread this engine was made for, replayed: three commands from silence to a receipt.

operations.md §16, last paragraph: seven agents, six QQ accounts, bind lan, token auth, target
unset, gateway stopped, linger off.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from engine.cli.app import run
from engine.cli.why import links as why_links
from engine.clock import SystemClock
from engine.messages.address import ChatType
from engine.messages.target import LastRoute
from engine.store import sessions
from engine.testing.qq import QqStandIn
from jobs.store.db import Database

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
NAMES = ("liuyi", "liuer", "liusan", "liusi", "liuwu", "xiaodi")
BOTS = {f"10{number}": f"secret-{name}" for number, name in enumerate(NAMES)}
ANN = "989E60" + "0" * 26


def config(qq: QqStandIn) -> str:
    accounts = {
        name: {
            "appId": app_id,
            "clientSecret": secret,
            "apiBase": qq.root,
            "tokenUrl": qq.root,
            "allowFrom": ["*"],
        }
        for name, (app_id, secret) in zip(NAMES, BOTS.items(), strict=True)
    }
    bindings = [
        {"agentId": name, "match": {"channel": "qqbot", "accountId": name}} for name in NAMES
    ]
    return json.dumps(
        {
            "gateway": {
                "mode": "local",
                "bind": "lan",
                "port": 0,
                "auth": {"mode": "token", "token": "t" * 40},
            },
            "agents": {
                "defaults": {"heartbeat": {"every": "30m"}},
                "list": [{"id": "main", "default": True}, *({"id": name} for name in NAMES)],
            },
            "bindings": bindings,
            "channels": {"qqbot": {"accounts": accounts}},
        }
    )


async def spoken_to(database: Path) -> None:
    """The store of a gateway that has run: somebody wrote to `main`, through xiaodi."""
    store = await Database.open(database)
    route = LastRoute(
        agent_id="main",
        session_key="agent:main:main",
        channel="qqbot",
        account_id="xiaodi",
        to=f"c2c:{ANN}",
        chat_type=ChatType.DIRECT,
        set_at=SystemClock().now(),
        set_by="inbound",
    )
    try:
        await store.write(lambda tx: sessions.set_route(tx, route))
    finally:
        await store.close()


def programs(folder: Path, linger: Path) -> None:
    """The commands a user has on the machine: `engine`, and `loginctl` of systemd."""
    folder.mkdir()
    for name, line in {
        "engine": f'exec {sys.executable} -m engine "$@"',
        "loginctl": f'[ "$1" = enable-linger ] && mkdir -p {linger} && touch {linger}/"$2"',
    }.items():
        program = folder / name
        program.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        program.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of Ann, whose services end when she logs out."""
    home, linger = tmp_path / "home", tmp_path / "linger"
    (home / ".engine").mkdir(parents=True)
    (tmp_path / "systemd").mkdir()
    programs(tmp_path / "bin", linger)
    monkeypatch.setattr(why_links, "SYSTEMD", tmp_path / "systemd")
    monkeypatch.setattr(why_links, "LINGER", linger)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in [name for name in os.environ if name.startswith("ENGINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return home


async def shell(line: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_shell(
        line,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


async def test_three_commands_lead_from_silence_to_a_receipt(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with QqStandIn(BOTS) as qq:
        (machine / ".engine" / "engine.json").write_text(config(qq), encoding="utf-8")
        await spoken_to(machine / ".engine" / "state.db")

        status = await asyncio.to_thread(run, ["why", "--json"])  # 1
        answer = json.loads(capsys.readouterr().out)
        assert status == 1
        assert answer["cause"] == "gateway.stopped"
        codes = [link["code"] for link in answer["links"]]
        named = ["gateway.stopped", "logout.linger-off", "target.none", "target.account-ambiguous"]
        assert [code for code in codes if code in named] == named
        broken = [link["code"] for link in answer["links"] if link["state"] == "broken"]
        assert broken == named

        gateway = await shell(answer["fix"])  # 2: it stays in the foreground
        assert gateway.stdout is not None
        said = b""
        try:
            while b"gateway ready" not in said:
                line = await asyncio.wait_for(gateway.stdout.readline(), 30)
                assert line, said.decode()
                said += line
            await qq.connected(len(BOTS), within=15)

            test = await shell("engine heartbeat test")  # 3
            printed, _ = await asyncio.wait_for(test.communicate(), 30)
            assert test.returncode == 0, printed.decode()
            receipt = f"delivered to qqbot/xiaodi → c2c:{ANN} (last) in "
            assert receipt in printed.decode()
            assert ", receipt " in printed.decode()
            (sent,) = qq.sent
            assert sent.peer == f"c2c:{ANN}"

            await asyncio.to_thread(run, ["why", "--json"])
            after = json.loads(capsys.readouterr().out)
            assert {link["code"] for link in after["links"]}.isdisjoint(named)
        finally:
            os.killpg(gateway.pid, signal.SIGTERM)
            await gateway.wait()
