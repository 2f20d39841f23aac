"""What a gateway refuses, in which words, and that it goes on afterwards: real processes.

operations.md §2.6, §4, §6.2; protocol.md §6; channels.md §4.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway import exits
from jobs.errors import StoreUnavailable
from tests.fakes.gateway_process import GatewayProcess, gateway, saved

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]

LOCAL = '{ gateway: { mode: "local" } }'
REFUSED = 78  # a restart will not help: the service is not started again


async def refusal(home: Path, config: str, *arguments: str) -> str:
    """Start a gateway that must refuse; what it said."""
    async with gateway(home, config) as engine:
        assert await engine.start(*arguments) == REFUSED
        return engine.said.decode()


# -- ownership -------------------------------------------------------------------------------


async def test_a_second_gateway_on_the_same_home_is_told_who_has_it(tmp_path: Path) -> None:
    async with gateway(tmp_path, LOCAL) as first:
        await first.start()
        told = await refusal(tmp_path, LOCAL)
        wanted = (
            r"another gateway instance is already listening on ws://127\.0\.0\.1:\d+ "
            r"\(pid \d+, profile default, since \d\d:\d\d:\d\d\)\nFix: engine gateway status\n"
        )
        assert re.match(wanted, told), told
        assert first.url in told
        assert (await first.call("health"))["ok"]


async def test_a_port_somebody_else_has_is_named_with_its_owner(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = await refusal(tmp_path, LOCAL, "gateway", "--port", str(port))
    whose = rf"port {port} is in use by pid \d+ \(.+\)\. Choose --port, or --force to stop it\n"
    assert re.match(whose, told), told


UNREADABLE = b"this is no database, and longer than a page header would be" * 99


START = "Gateway start blocked: set gateway.mode=local (engine config set gateway.mode local)"


@pytest.mark.parametrize(
    ("config", "first"),
    [
        ("{}", START),
        (
            '{ gateway: { mode: "local", bind: "lan" } }',
            "refusing to bind gateway to lan (0.0.0.0) without auth",
        ),
        (
            '{ gateway: { mode: "local", bind: "custom", customBindHost: "203.0.113.9" } }',
            "failed to bind gateway socket on ws://203.0.113.9:0: Cannot assign requested address",
        ),
        ("broken", "the state database HOME/state.db cannot be used: file is not a database"),
    ],
)
async def test_a_start_that_a_restart_would_not_mend_is_refused_in_these_words(
    tmp_path: Path, config: str, first: str
) -> None:
    """operations.md §6.2, row by row."""
    if config == "broken":
        (tmp_path / "state.db").write_bytes(UNREADABLE)
        config = LOCAL
    if "custom" in config:
        (tmp_path / "gateway.token").write_text("a-token-of-decent-length")
    told = await refusal(tmp_path, config)
    wanted = re.escape(first).replace("HOME", re.escape(str(tmp_path)))
    assert re.search(rf"^{wanted}\n", told, re.MULTILINE), told
    assert re.search("^Fix: engine|^Fix: mv", told, re.MULTILINE), told
    ended = exits.read(tmp_path)
    assert ended is not None
    assert ended.code == REFUSED


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
        database.commit()
    before = (tmp_path / "state.db").read_bytes()
    told = await refusal(tmp_path, LOCAL)
    assert f"{tmp_path / 'state.db'} was not opened: its schema is 9999" in told
    assert "start the newer engine again" in told
    assert (tmp_path / "state.db").read_bytes() == before


# -- the wire --------------------------------------------------------------------------------


async def closed_with(url: str, frame: str | bytes) -> tuple[int, str]:
    """Say one thing after the challenge; how the gateway ends it."""
    async with connect(url, max_size=None, proxy=None) as client:
        await client.recv()
        await client.send(frame)
        with suppress(ConnectionClosed):
            while True:
                await asyncio.wait_for(client.recv(), 5)
        return client.close_code or 0, client.close_reason or ""


def hello(token: str) -> str:
    who = {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"}
    params = {"minProtocol": 4, "maxProtocol": 4, "client": who, "auth": {"token": token}}
    return json.dumps({"type": "req", "id": "1", "method": "connect", "params": params})


async def test_what_is_wrong_on_the_wire_is_refused_in_words_and_harms_nobody(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, LOCAL) as engine:
        await engine.start()
        token = engine.token
        assert await closed_with(engine.url, hello("a-wrong-token")) == (
            1008,
            "unauthorized: gateway token mismatch (provide the token of this gateway)",
        )
        assert await closed_with(engine.url, "x" * 70_000) == (1009, "preauth payload too large")
        assert await closed_with(engine.url, "{ no json") == (1008, "invalid frame: not JSON")
        assert await closed_with(engine.url, b"\xff\x00") == (1008, "invalid frame: not JSON")
        early = '{"type":"req","id":"1","method":"health"}'
        assert (await closed_with(engine.url, early))[1].endswith("first request must be connect")
        assert (await engine.call("health"))["ok"]
        assert await engine.stop() == 0
    assert token not in engine.said.decode()
    assert "a-wrong-token" not in engine.said.decode()
    assert "Traceback" not in engine.said.decode()


# -- the config ------------------------------------------------------------------------------


async def test_every_wrong_key_and_value_has_its_line_its_key_and_a_way_out(
    tmp_path: Path,
) -> None:
    told = await refusal(
        tmp_path,
        """{ gateway: { mode: "local", prot: 1 },
  agents: { defaults: {
    userTimezone: "Mars/Base",
    heartbeat: { evry: "5m",
      every: "-5m" } } } }""",
    )
    assert told.startswith(f"engine config is invalid: {tmp_path / 'engine.json'}\n")
    for words in (
        'engine.json:1:29   gateway: unknown key "prot" — did you mean "port"?',
        'engine.json:3:19   agents.defaults.userTimezone: unknown time zone "Mars/Base"',
        'engine.json:4:18   agents.defaults.heartbeat: unknown key "evry" — did you mean "every"?',
        'engine.json:5:14   agents.defaults.heartbeat.every: invalid duration "-5m" (use 500ms',
        "Nothing was changed. Fix the lines above, or run: engine doctor --fix",
    ):
        assert re.search(re.sub(r"\\? {3}", r"\\s+", re.escape(words)), told), (words, told)


async def test_jobs_that_could_never_work_are_refused_with_their_lines(tmp_path: Path) -> None:
    told = await refusal(
        tmp_path,
        """{ gateway: { mode: "local" }, cron: { jobs: {
  zone: { schedule: "0 9 * * *", tz: "Asia/Beijin", message: "x" },
  never: { schedule: "0 0 31 2 *", message: "x" },
  backwards: { schedule: "every -5m", message: "x" },
  nobody: { schedule: "every 5m", message: "x", deliver: "telegram:" },
} } }""",
    )
    for line, key, words in (
        (2, "cron.jobs.zone", "'Asia/Beijin' is not in the tz database"),
        (3, "cron.jobs.never", "would never fire"),
        (4, "cron.jobs.backwards", "Invalid every"),
        (5, "cron.jobs.nobody.deliver", "names no recipient: write telegram:<id>"),
    ):
        assert re.search(rf"engine\.json:{line}:\d+\s+{key}: .*{re.escape(words)}", told), told


async def test_good_edits_are_put_in_force_and_bad_ones_refused(tmp_path: Path) -> None:
    def config(heartbeat: str) -> str:
        return f"""{{ gateway: {{ mode: "local", reload: {{ debounceMs: 20 }} }},
            agents: {{ defaults: {{ heartbeat: {{ {heartbeat} }} }} }},
            cron: {{ jobs: {{ brief: {{ schedule: "0 7 * * *", message: "x" }} }} }} }}"""

    file = tmp_path / "engine.json"

    async def every() -> Any:
        return (await engine.call("health", {"probe": True}))["agents"][0]["heartbeat"]["every"]

    async with gateway(tmp_path, config('every: "30m"')) as engine:
        await engine.start()
        saved(file, config('every: "7m"'))
        await engine.says("config reloaded")
        assert await every() == "7m"
        saved(file, config('evry: "9m"'))
        await engine.says("config was not reloaded; the previous one stays in force")
        assert 'heartbeat: unknown key "evry" — did you mean "every"?' in engine.said.decode()
        file.unlink()
        await engine.says("config was not reloaded", 2)
        assert await every() == "7m"
        assert [job["id"] for job in (await engine.call("cron.list"))["jobs"]] == ["cfg:brief"]
        saved(file, config('every: "8m"'))
        await engine.says("config reloaded", 2)
        assert await every() == "8m"


async def test_a_checklist_nobody_can_read_is_a_reason_not_a_silence(tmp_path: Path) -> None:
    config = """{ gateway: { mode: "local" },
        agents: { defaults: { heartbeat: { every: "1s", target: "last" } } } }"""
    (tmp_path / "workspace" / "HEARTBEAT.md").mkdir(parents=True)
    async with gateway(tmp_path, config) as engine:
        await engine.start()
        async with asyncio.timeout(10):
            while (record := await engine.call("last-heartbeat")) is None:
                pass
    assert (record["status"], record["reason"]) == ("skipped", "invalid-heartbeat-file")
    assert "HEARTBEAT.md cannot be read: Is a directory" in record["explain"]
    assert "Fix: " in record["explain"]


# -- the disk --------------------------------------------------------------------------------


def disk_full(engine: GatewayProcess, full: bool) -> None:
    """Let every write of the process fail, or none: what a full disk does, for one process."""
    limit = 1 if full else resource.RLIM_INFINITY
    resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process: Linux")
async def test_a_full_disk_is_told_and_what_it_refused_works_afterwards(tmp_path: Path) -> None:
    send = {"channel": "local", "to": "inbox", "message": "hi", "idempotencyKey": "once"}
    async with gateway(tmp_path, LOCAL) as engine:
        await engine.start("gateway", "--port", "0", "--ws-log", "compact")  # a line for each call
        disk_full(engine, True)
        for method, params in (("send", send), ("wake", {"mode": "now", "text": "look"})):
            with pytest.raises(StoreUnavailable) as refused:
                await engine.call(method, params)
            assert str(tmp_path / "state.db") in str(refused.value)
            assert re.search(r"disk .*Fix: .*disk", str(refused.value))
        assert (await engine.call("health"))["ok"]
        assert (await engine.call("cron.list"))["jobs"] == []
        disk_full(engine, False)
        assert (await engine.call("send", send))["messageId"]
        assert (await engine.tell("look"))["outcome"]["preview"]
        assert await engine.stop() == 0
    assert engine.said.decode().count("is not written: ") == 1
