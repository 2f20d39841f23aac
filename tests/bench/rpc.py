"""RPC at fifty connections, and fifty clients that connect at once (design.md §6)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.bench.common import ROOT, Measured, percentile, plain_environ, probe, say

CONNECTIONS = 50
CALLS = 200  # of each connection and method
TOKEN = "a-token-for-the-bench"
REFERENCE = {"health": 1_600.0, "cron.status": 16_000.0, "last-heartbeat": 16_000.0}  # a second
GOAL = {"health": 5 * 1_600.0, "cron.status": 16_000.0, "last-heartbeat": 16_000.0}


def measure() -> list[Measured]:
    """Start a gateway in a process of its own, and call it from another."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        (home / "engine.json").write_text('{"gateway": {"mode": "local"}}', "utf-8")
        environ = {**plain_environ(), "ENGINE_STATE_DIR": place, "ENGINE_GATEWAY_TOKEN": TOKEN}
        command = [sys.executable, "-m", "engine", "gateway", "--port", "0"]
        with subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.PIPE) as gateway:
            try:
                port = _port(gateway)
                say(f"{CONNECTIONS} connections")
                found = probe("rpc", port)
            finally:
                gateway.terminate()
    return [*(_row(name, found[name]) for name in GOAL), _storm(found)]


def _port(gateway: subprocess.Popen[bytes]) -> int:
    """The port it tells it is ready on."""
    if gateway.stderr is None:
        raise AssertionError("its words are piped")
    for line in gateway.stderr:
        _, found, rest = line.decode().partition("url=ws://127.0.0.1:")
        if found:
            return int(rest.split()[0])
    raise SystemExit("the gateway ended before it was ready")


def _row(method: str, found: dict[str, float]) -> Measured:
    rate, p99 = found["per_second"], found["p99_ms"]
    quick = method != "health" or p99 < 5
    goal = f">= {GOAL[method]:.0f}/s" + (", p99 < 5 ms" if method == "health" else "")
    return Measured(
        work=f"RPC {method}, {CONNECTIONS} connections",
        measured=f"{rate:.0f}/s, p99 {p99:.1f} ms",
        goal=goal,
        peer=f"{REFERENCE[method]:.0f}/s, the reference's figure",
        ratio=f"{rate / REFERENCE[method]:.1f} x",
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


async def main(port: int) -> dict[str, Any]:
    """Everything, from one process: first the storm, then each method."""
    began = time.perf_counter()
    dialled = await asyncio.gather(
        *(_inside(port) for _ in range(CONNECTIONS)), return_exceptions=True
    )
    storm = 1000 * (time.perf_counter() - began)
    lines = [one for one in dialled if not isinstance(one, BaseException)]
    told: dict[str, Any] = {"storm": {"ms": storm, "refused": float(CONNECTIONS - len(lines))}}
    for method in GOAL:
        began = time.perf_counter()
        took = await asyncio.gather(*(_calls(line, method) for line in lines))
        spent = time.perf_counter() - began
        every = [one for some in took for one in some]
        p99 = 1000 * percentile(every, 0.99)
        told[method] = {"per_second": len(every) / spent, "p99_ms": p99}
    for line in lines:
        await line.close()
    return told


async def _inside(port: int) -> ClientConnection:
    line = await connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None)
    await line.recv()
    client = {"id": "cli", "mode": "cli", "version": "1", "platform": "bench"}
    hello = {"minProtocol": 4, "maxProtocol": 4, "client": client, "auth": {"token": TOKEN}}
    params = {**hello, "scopes": ["operator.read"]}
    await line.send(json.dumps({"type": "req", "id": "h", "method": "connect", "params": params}))
    answer = json.loads(await line.recv())
    if not answer["ok"]:
        raise OSError(answer["error"]["message"])
    return line


async def _calls(line: ClientConnection, method: str) -> list[float]:
    """One call after the other; events in between are passed over."""
    took = []
    for number in range(CALLS):
        began = time.perf_counter()
        await line.send(json.dumps({"type": "req", "id": str(number), "method": method}))
        while True:
            answer = json.loads(await line.recv())
            if answer["type"] == "res":
                break
        took.append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    print(json.dumps(asyncio.run(main(int(sys.argv[1])))))
