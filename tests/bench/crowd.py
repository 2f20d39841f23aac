"""Many clients at once: what they cost while idle, and what a storm of events comes to (issue 6).

Idle connections are those of a whole gateway. The storm is told by the gateway's own port,
`Fanout` and sockets with no engine behind them, as no engine makes a thousand events a second
for so long; it and its readers share the cores of the machine, which is part of the figure.
"""

from __future__ import annotations

import asyncio
import os
import select
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen

from gateway.runtime import settle
from tests.bench.common import ROOT, Measured, percentile, plain_environ, say
from tests.bench.lines import Line
from tests.bench.rpc import CLIENTS, TOKEN, cpu, running

IDLE = 1000
READERS = 200
RATE = 1000  # events a second
SECONDS = 5
EVERY = 0.005  # how often the teller wakes
CALM = 2.0  # seconds until what a start leaves behind is gone


def measure() -> list[Measured]:
    """All three."""
    with tempfile.TemporaryDirectory() as place:
        ready, base, held = _alone(Path(place))
    say(f"{READERS} readers, {RATE} events a second")
    return [_start(ready, base), _idle(held), _storm()]


def _alone(home: Path) -> tuple[float, float, float]:
    """Seconds to ready, megabytes of a gateway nobody calls, and what idle clients add."""
    with running(home):
        pass  # the first start of a home makes its store, and compiles what was changed
    began = time.perf_counter()
    with running(home) as (port, pid):
        ready = time.perf_counter() - began
        time.sleep(CALM)
        base = memory(pid)
        say(f"{IDLE} idle connections")
        lines = [Line(port, TOKEN) for _ in range(IDLE)]
        held = memory(pid) - base
        for line in lines:
            line.close()
    return ready, base, held


def memory(pid: int) -> float:
    """Megabytes a process has of its own and shared."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("a process has memory")


def _start(ready: float, base: float) -> Measured:
    return Measured(
        work="engine gateway, start to ready in a home that is there; idle",
        measured=f"{ready:.2f} s, {base:.0f} MB",
        goal="< 1 s, < 100 MB",
        peer="the reference 7-13 s, 700-1200 MB",
        ok=ready < 1 and base < 100,
        figures={"seconds": ready, "mb": base},
    )


def _idle(held: float) -> Measured:
    return Measured(
        work=f"{IDLE} idle connections",
        measured=f"{held:.0f} MB above base, {1024 * held / IDLE:.0f} KB each",
        goal="< 60 MB above base",
        ok=held < 60,
        figures={"mb": held},
    )


def _storm() -> Measured:
    command = [sys.executable, "-m", "tests.bench.crowd"]
    with Popen(command, cwd=ROOT, env=plain_environ(), stdin=PIPE, stdout=PIPE) as teller:
        if teller.stdin is None or teller.stdout is None:
            raise AssertionError("both are piped")
        port = int(teller.stdout.readline())
        shares = [READERS // CLIENTS + (n < READERS % CLIENTS) for n in range(CLIENTS)]
        before = cpu(teller.pid)
        with ProcessPoolExecutor(CLIENTS) as clients:
            told = [clients.submit(_read, port, share) for share in shares]
            for _ in shares:
                teller.stdout.readline()  # they are in: nothing is told before all of them are
            teller.stdin.write(b"go\n")
            teller.stdin.flush()
            parts = [one.result() for one in told]
        spent = cpu(teller.pid) - before
        teller.terminate()
    late = [one for some, _ in parts for one in some]
    lost = sum(some for _, some in parts)
    p99 = 1000 * percentile(late, 0.99)
    return Measured(
        work=f"{READERS} subscribed, {RATE} events/s for {SECONDS} s",
        measured=f"p99 {p99:.1f} ms, {lost} lost, {100 * spent / SECONDS:.0f} % of a core",
        goal="p99 < 50 ms, none lost",
        ok=p99 < 50 and lost == 0,
        figures={"p99_ms": p99, "lost": float(lost), "cores": spent / SECONDS},
    )


def _read(port: int, readers: int) -> tuple[list[float], int]:
    """Read until every line has its last event; how late each was, and how many are missing.

    To take little of the core it shares with the teller it looks at the oldest event of what
    came together, and counts all of them as late as that one.
    """
    from tests.fakes.gateway_port import TOKEN as KNOWN

    poll, by_number = select.epoll(), {}
    for _ in range(readers):
        line = Line(port, KNOWN)
        by_number[line.socket.fileno()] = line
        poll.register(line.socket.fileno(), select.EPOLLIN)
    wanted = RATE * SECONDS
    seen, late, done = dict.fromkeys(by_number, 0), [], 0
    while done < readers:
        found = poll.poll(20)
        if not found:
            break  # what has not come by now is lost
        for number, _ in found:
            now, line = time.monotonic(), by_number[number]
            data = line.left + line.socket.recv(1_048_576)
            whole = data.rfind(_AFTER) + 1  # what is cut off comes again with the rest of it
            line.left, data = data[whole:], data[:whole]
            count = data.count(_MARK)
            if count:
                at = data.index(_MARK) + len(_MARK)
                late += [now - float(data[at : data.index(b",", at)])] * count
            before, seen[number] = seen[number], seen[number] + count
            done += before < wanted <= seen[number]
    return late, sum(wanted - count for count in seen.values())


async def _tell() -> None:
    """A port with nothing behind it that tells its readers, once they are all there."""
    from tests.fakes.gateway_port import serving

    async with serving() as port:
        print(port.server.port, flush=True)
        loop = asyncio.get_running_loop()
        while len(port.fanout) < READERS:
            await asyncio.sleep(0.05)
        print("\n" * CLIENTS, end="", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        began, told = time.monotonic(), 0
        while told < RATE * SECONDS:
            due = min(int((time.monotonic() - began) * RATE), RATE * SECONDS)
            for _ in range(due - told):
                port.fanout.publish("cron", {"at": time.monotonic(), **_EVENT})
            told = due
            await asyncio.sleep(EVERY)
        await asyncio.Event().wait()


_MARK, _AFTER = b'"at":', b"},"  # of an event's payload: where its instant is, and its end
_EVENT = {
    "action": "finished",
    "jobId": "job-0000001",
    "runId": "01a200a2549db305e9e4850d",
    "status": "ok",
    "summary": "Nothing happened since the last report.",
    "durationMs": 12,
}


if __name__ == "__main__":
    settle()
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    import uvloop

    uvloop.run(_tell())
