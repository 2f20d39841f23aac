"""A gateway that starts anew in its process, and what signals do: a real one (operations.md §7)."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from gateway import exits, lock
from gateway.exits import Reason
from jobs.errors import EngineError
from tests.fakes.gateway_process import GatewayProcess, gateway, saved

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(90)]

LOCAL = '{ gateway: { mode: "local" } }'
ALLOWED = '{ gateway: { mode: "local" }, commands: { restart: true } }'
AT_WORK = "SELECT 1 FROM runs WHERE status = 'running'"


def dials(port: int) -> bool:
    """Whether somebody listens there: the kernel answers, whoever comes to take the call."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


async def test_a_restart_keeps_the_port_and_tells_who_asked(tmp_path: Path) -> None:
    async with gateway(tmp_path, LOCAL) as engine:
        await engine.start()
        before = lock.read(tmp_path)
        assert before is not None
        assert before.port is not None
        wish = {
            "reason": "because",
            "sessionKey": "agent:main:main",
            "deliveryContext": {"channel": "local", "to": "inbox"},
        }
        accepted = await engine.call("gateway.restart.request", wish)
        assert (accepted["status"], accepted["coalesced"]) == ("accepted", False)
        refused = 0
        while engine.said.count(b"gateway ready") < 2:
            refused += not await asyncio.to_thread(dials, before.port)
        await engine.says("the gateway is back")
        assert refused == 0, "the port was never closed"
        after = lock.read(tmp_path)
        assert after is not None
        assert (after.pid, after.port) == (before.pid, before.port)
        assert after.boot_id != before.boot_id
        sent = engine.rows("SELECT text FROM outbox WHERE text LIKE 'Gateway back after %'")
        assert len(sent) == 1
        assert engine.rows("SELECT value FROM meta WHERE key = 'gateway.restarts'")

        soon = await engine.call("gateway.restart.request", {"reason": "again"})
        assert soon["coalesced"], "within the cooldown"
        joined = await engine.call("gateway.restart.request", {"reason": "and again"})
        assert (joined["coalesced"], joined["at"]) == (True, soon["at"])
        engine.send(signal.SIGUSR1)  # one is pending, so this is allowed: it is made now
        await engine.says("gateway ready", 3)
        assert await engine.stop() == 0
    ended = exits.read(tmp_path)
    assert ended is not None
    assert ended.reason is Reason.SIGTERM


async def test_no_gateway_makes_way_for_one_that_could_not_listen(tmp_path: Path) -> None:
    still = '{ gateway: { mode: "local", reload: { mode: "off" }, port: PORT } }'
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with gateway(tmp_path, still.replace("PORT", "0")) as engine:
            await engine.start("gateway")
            other = still.replace("PORT", str(taken.getsockname()[1]))
            saved(tmp_path / "engine.json", other)
            with pytest.raises(EngineError, match="is in use"):
                await engine.call("gateway.restart.request", {"reason": "new port"})
            assert (await engine.call("health"))["ok"]


async def test_signals_do_what_they_are_for_and_no_more(tmp_path: Path) -> None:
    async with gateway(tmp_path, LOCAL) as engine:
        await engine.start()
        engine.send(signal.SIGUSR1)
        await engine.says("SIGUSR1 was not heard: no restart is pending")

        engine.send(signal.SIGQUIT)
        await engine.says("tasks are in the log")
        assert b"task=clockwork" in engine.said

        (log,) = (tmp_path / "logs").glob("engine-*.log")
        log.rename(log.with_suffix(".1"))
        saved(
            tmp_path / "engine.json", '{ gateway: { mode: "local" }, commands: { restart: true } }'
        )
        engine.send(signal.SIGHUP)
        await engine.says("config reloaded")
        assert "SIGHUP" in log.read_text("utf-8")

        engine.send(signal.SIGUSR1)
        await engine.says("gateway ready", 2)
        assert await engine.stop(signal.SIGINT) == 0
    ended = exits.read(tmp_path)
    assert ended is not None
    assert ended.reason is Reason.SIGINT


BUSY = """{ gateway: { mode: "local" }, cron: { jobs: { long: { schedule: "every 1s",
    command: "echo $$ > PLACE/part; mv PLACE/part PLACE/pid; exec sleep 60" } } } }"""


def goes_on(pid: int) -> bool:
    """Whether a program still runs; one that was ended and not buried yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def at_work(engine: GatewayProcess, file: Path) -> int:
    """Wait until the program of a job runs; its process id."""

    def told() -> str:
        return file.read_text("ascii") if file.exists() and engine.rows(AT_WORK) else ""

    async with asyncio.timeout(20):
        while not (pid := await asyncio.to_thread(told)):
            pass
    return int(pid)


async def test_who_asks_twice_does_not_wait(tmp_path: Path) -> None:
    async with gateway(tmp_path, BUSY.replace("PLACE", str(tmp_path))) as engine:
        await engine.start()
        pid = await at_work(engine, tmp_path / "pid")
        engine.send(signal.SIGTERM)
        await engine.says("stopping; waiting for what runs")
        assert await engine.stop(signal.SIGTERM) == 143
    ended = exits.read(tmp_path)
    assert ended is not None
    assert (ended.code, ended.signal) == (143, "SIGTERM")
    assert not goes_on(pid), "nobody would be left to end it"


async def test_a_program_of_a_killed_gateway_does_not_meet_its_own_second_try(
    tmp_path: Path,
) -> None:
    async with gateway(tmp_path, BUSY.replace("PLACE", str(tmp_path))) as engine:
        await engine.start()
        pid = await at_work(engine, tmp_path / "pid")
        await engine.cut()
        assert await engine.ended() == -signal.SIGKILL
        assert goes_on(pid)
        await engine.start()
        assert not goes_on(pid)
