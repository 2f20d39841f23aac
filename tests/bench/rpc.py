"""RPC at fifty connections, and fifty clients that connect at once (design.md §6).

A rate is that of the gateway and its clients together: with two cores there is one for each. So
beside it stand what a call costs the gateway's processor, and what the same clients get from a
socket that answers as many bytes without reading what it was asked: no gateway here is faster.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.bench.common import ROOT, Measured, percentile, plain_environ, probe, say
from tests.bench.lines import Line, greeting, storm

CONNECTIONS = 50
CALLS = 400  # of each connection and method
CLIENTS = max(1, (os.cpu_count() or 2) - 1)  # processes; one core is the gateway's
TOKEN = "a-token-for-the-bench"
REFERENCE = {"health": 1_600.0, "cron.status": 16_000.0, "last-heartbeat": 16_000.0}  # a second
GOAL = {"health": 5 * 1_600.0, "cron.status": 16_000.0, "last-heartbeat": 16_000.0}
FLOOR = "a bare socket"


def measure() -> list[Measured]:
    """Start a gateway in a process of its own, and call it from others."""
    with tempfile.TemporaryDirectory() as place, running(Path(place)) as (port, pid):
        say(f"{CONNECTIONS} connections")
        found = probe("rpc", port, pid)
    rows = [_row(name, found[name], found[FLOOR]) for name in GOAL]
    return [*rows, _storm(found)]


@contextmanager
def running(home: Path) -> Iterator[tuple[int, int]]:
    """A gateway with nothing to do: its port and its process."""
    (home / "engine.json").write_text('{"gateway": {"mode": "local"}}', "utf-8")
    environ = {**plain_environ(), "ENGINE_STATE_DIR": str(home), "ENGINE_GATEWAY_TOKEN": TOKEN}
    command = [sys.executable, "-m", "engine", "gateway", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE) as gateway:
        try:
            yield _port(gateway), gateway.pid
        finally:
            gateway.terminate()


def _port(gateway: subprocess.Popen[bytes]) -> int:
    """The port it tells it is ready on."""
    if gateway.stderr is None:
        raise AssertionError("its words are piped")
    for line in gateway.stderr:
        _, found, rest = line.decode().partition("url=ws://127.0.0.1:")
        if found:
            return int(rest.split()[0])
    raise SystemExit("the gateway ended before it was ready")


def _row(method: str, found: dict[str, float], floor: dict[str, float]) -> Measured:
    rate, p99 = found["per_second"], found["p99_ms"]
    quick = method != "health" or p99 < 5
    goal = f">= {GOAL[method]:.0f}/s" + (", p99 < 5 ms" if method == "health" else "")
    bare = floor["per_second"]
    return Measured(
        work=f"RPC {method}, {CONNECTIONS} connections",
        measured=f"{rate:.0f}/s, p99 {p99:.1f} ms, {found['cpu_us']:.0f} us of CPU a call",
        goal=goal,
        peer=f"{FLOOR} {bare:.0f}/s, {floor['cpu_us']:.0f} us; "
        f"the reference {REFERENCE[method]:.0f}/s",
        ratio=f"{rate / bare:.2f} x the bare socket",
        ok=rate >= GOAL[method] and quick,
        figures=found,
    )


def _storm(found: dict[str, Any]) -> Measured:
    storm = found["storm"]
    return Measured(
        work=f"{CONNECTIONS} simultaneous connects",
        measured=f"{storm['ms']:.0f} ms, {storm['refused']:.0f} refused",
        goal="< 500 ms, none refused",
        ok=storm["ms"] < 500 and not storm["refused"],
        figures=storm,
    )


def main(port: int, pid: int) -> dict[str, Any]:
    """Everything: first the storm, then each method, then the bare socket."""
    told: dict[str, Any] = {"storm": asyncio.run(_connects(port))}
    with ProcessPoolExecutor(CLIENTS) as clients:
        for method in GOAL:
            told[method] = _calls(clients, port, pid, method)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.bench.rpc", "bare"], cwd=ROOT, stdout=subprocess.PIPE
        ) as bare:
            if bare.stdout is None:
                raise AssertionError("its words are piped")
            told[FLOOR] = _calls(clients, int(bare.stdout.readline()), bare.pid, "health")
            bare.terminate()
    return told


def _calls(clients: ProcessPoolExecutor, port: int, pid: int, method: str) -> dict[str, float]:
    shares = [CONNECTIONS // CLIENTS + (n < CONNECTIONS % CLIENTS) for n in range(CLIENTS)]
    before = cpu(pid)
    parts = list(clients.map(_share, [port] * CLIENTS, shares, [method] * CLIENTS))
    spent = max(end for _, end, _ in parts) - min(began for began, _, _ in parts)
    every = [one for _, _, took in parts for one in took]
    return {
        "per_second": len(every) / spent,
        "p99_ms": 1000 * percentile(every, 0.99),
        "cpu_us": 1e6 * (cpu(pid) - before) / len(every),
    }


def _share(port: int, connections: int, method: str) -> tuple[float, float, list[float]]:
    lines = [Line(port, TOKEN) for _ in range(connections)]
    began = time.perf_counter()
    took = storm(lines, method, CALLS)
    end = time.perf_counter()
    for line in lines:
        line.close()
    return began, end, took


def cpu(pid: int) -> float:
    """Seconds of processor a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def _connects(port: int) -> dict[str, float]:
    began = time.perf_counter()
    dialled = await asyncio.gather(
        *(_inside(port) for _ in range(CONNECTIONS)), return_exceptions=True
    )
    took = 1000 * (time.perf_counter() - began)
    lines = [one for one in dialled if not isinstance(one, BaseException)]
    for line in lines:
        await line.close()
    return {"ms": took, "refused": float(CONNECTIONS - len(lines))}


async def _inside(port: int) -> ClientConnection:
    line = await connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None)
    await line.recv()
    request = {"type": "req", "id": "h", "method": "connect", "params": greeting(TOKEN)}
    await line.send(json.dumps(request))
    answer = json.loads(await line.recv())
    if not answer["ok"]:
        raise OSError(answer["error"]["message"])
    return line


class _Bare(asyncio.Protocol):
    """Answers whatever comes with as many bytes as `health` has; lets clients in unseen."""

    _ANSWER = b"\x81\x7e\x04\x00" + b'{"type":"res","id":"h","ok":true'.ljust(1023) + b"}"
    _UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02{}"

    def connection_made(self, transport: Any) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self._transport.write(self._UPGRADE if data.startswith(b"GET") else self._ANSWER)


async def _bare() -> None:
    server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    if sys.argv[1] == "bare":
        import uvloop

        uvloop.run(_bare())
    else:
        print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
