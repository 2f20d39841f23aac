"""`python -m tests.soak`: a gateway is killed at random moments, again and again; then the proof.

Thirty jobs run in a real process on a throwaway home. Meanwhile jobs are paused, resumed,
backfilled, cancelled, run by hand, added and removed. Afterwards no slot may lack its row or
have two, no row may be open, no message may be lost or arrive twice, no alarm be repeated.
The same seed makes the same plan; what the machine makes of it differs.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engine.testing.telegram import TelegramStandIn
from jobs.errors import EngineError
from tests.fakes.gateway_process import GatewayProcess, gateway
from tests.soak import jobs, proof

Deed = Callable[[GatewayProcess, random.Random], Awaitable[Any]]

LONGEST: Final = 4.0  # seconds between kills
CALM: Final = 12.0  # seconds in which what was begun may end


def _ms(ago: float = 0) -> int:
    return int((datetime.now(UTC).timestamp() - ago) * 1000)


def _any(chance: random.Random) -> str:
    return f"cfg:{chance.choice(sorted(jobs.jobs()))}"


async def _pause(engine: GatewayProcess, chance: random.Random) -> None:
    end = {"untilMs": _ms(-chance.uniform(0.5, 4))} if chance.random() < 0.6 else {}
    await engine.call("cron.pause", {"id": _any(chance), "note": "soak", **end})


async def _pause_all(engine: GatewayProcess, chance: random.Random) -> None:
    await engine.call("cron.pause", {"all": True, "untilMs": _ms(-chance.uniform(0.3, 2))})


async def _resume(engine: GatewayProcess, chance: random.Random) -> None:
    await engine.call("cron.resume", {"all": True})


async def _backfill(engine: GatewayProcess, chance: random.Random) -> None:
    span = {"fromMs": _ms(chance.uniform(4, 12)), "toMs": _ms(1)}
    await engine.call("cron.backfill", {"id": _any(chance), **span})


async def _skip(engine: GatewayProcess, chance: random.Random) -> None:
    await engine.call("cron.skip", {"id": _any(chance), "count": chance.randint(1, 3)})


async def _run(engine: GatewayProcess, chance: random.Random) -> None:
    await engine.call("cron.run", {"id": _any(chance)})


async def _cancel(engine: GatewayProcess, chance: random.Random) -> None:
    going = engine.rows("SELECT id FROM runs WHERE status IN ('claimed', 'running', 'deferred')")
    if going:
        await engine.call("cron.cancel", {"runId": chance.choice(going)[0]})


async def _add(engine: GatewayProcess, chance: random.Random) -> None:
    name = f"once-{chance.randrange(10**6)}"
    at = datetime.now(UTC) + timedelta(seconds=chance.uniform(0.3, 3))
    await engine.call(
        "cron.add",
        {
            "name": name,
            "schedule": {"kind": "at", "at": at.isoformat()},
            "payload": {"kind": "command", "argv": ["echo", name]},
            "delivery": {"mode": "announce", "channel": "local", "to": "inbox"},
            "deleteAfterRun": chance.random() < 0.5,
        },
    )


async def _write(engine: GatewayProcess, chance: random.Random) -> None:
    """Save the config with one job more or less: what is there converges, or not at all."""
    import json

    config = json.loads((engine.home / "engine.json").read_text("utf-8"))
    declared = config["cron"]["jobs"]
    extra = [key for key in declared if key.startswith("extra-")]
    if extra and chance.random() < 0.5:
        del declared[chance.choice(extra)]
    else:
        name = f"extra-{chance.randrange(20)}"
        declared[name] = {"schedule": f"every {chance.randint(1, 3)}s", "command": ["true"]}
    fresh = engine.home / "engine.json.new"
    fresh.write_text(json.dumps(config), encoding="utf-8")
    fresh.replace(engine.home / "engine.json")


DEEDS: Final[tuple[Deed, ...]] = (
    _pause, _pause, _pause_all, _resume, _resume, _backfill, _backfill, _skip, _run, _cancel,
    _add, _write,
)  # fmt: skip


class Soak:
    """One home, one plan."""

    def __init__(self, engine: GatewayProcess, chance: random.Random) -> None:
        self.engine = engine
        self.chance = chance
        self.kills = 0
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    async def spend(self, seconds: float) -> None:
        """Start, meddle, kill; for so long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            await self._life(min(self.chance.uniform(0.05, LONGEST), end - loop.time()))

    async def _life(self, seconds: float) -> None:
        """Start the gateway, meddle with it, kill it; a start may be killed half way, too."""
        if self.chance.random() < 0.15:
            await self._stillborn()
        code = await self.engine.start()
        if code is not None:
            raise SystemExit(f"the gateway did not start:\n{self.engine.said.decode()[-4000:]}")
        meddling = asyncio.create_task(self._meddle())
        await asyncio.sleep(max(seconds, 0.0))
        await self.engine.stop(signal.SIGKILL)
        self.kills += 1
        meddling.cancel()
        await asyncio.gather(meddling, return_exceptions=True)

    async def _stillborn(self) -> None:
        starting = asyncio.create_task(self.engine.start())
        await asyncio.sleep(self.chance.uniform(0.5, 1.3))
        await self.engine.cut()
        await asyncio.gather(starting, return_exceptions=True)
        self.kills += 1

    async def _meddle(self) -> None:
        while True:
            await asyncio.sleep(self.chance.uniform(0, 0.7))
            deed = self.chance.choice(DEEDS)
            name = deed.__name__.strip("_")
            try:
                await deed(self.engine, self.chance)
                self.done[name] += 1
            except (EngineError, OSError) as error:
                self.refused[f"{name}: {type(error).__name__}"] += 1

    async def settle(self) -> datetime:
        """Let everything go on, then end; returns until when the ledger must be whole."""
        await self.engine.start()
        await self.engine.call("cron.resume", {"all": True})
        await asyncio.sleep(3)
        until = datetime.now(UTC) - timedelta(seconds=1)
        await self.engine.stop()
        await self.engine.start(ENGINE_SKIP_CRON="1")
        await asyncio.sleep(CALM)
        await self.engine.stop()
        return until


async def soak(seconds: float, seed: int, home: Path) -> int:
    """Run the plan of a seed for so long; returns how many faults were found."""
    since = datetime.now(UTC)
    async with TelegramStandIn() as telegram, gateway(home, jobs.config(telegram)) as engine:
        plan = Soak(engine, random.Random(seed))
        await plan.spend(seconds)
        until = await plan.settle()
        arrived = [message.visible for message in telegram.sent]
    audit = await proof.audited(home, since, until)
    found = proof.faults(home, audit, arrived)
    expected = sum(job.expected for job in audit.jobs)
    rows = engine.rows("SELECT status, coalesce(reason, ''), count(*) FROM runs GROUP BY 1, 2")
    states = engine.rows("SELECT state, count(*) FROM outbox GROUP BY 1")
    print(f"seed {seed}: {plan.kills} kills in {seconds:.0f} s; deeds: {dict(plan.done)}")
    print(f"refused or cut off: {dict(plan.refused)}")
    print(f"{expected} slots expected; rows: {sorted(rows)}")
    print(f"messages: {dict(states)}; {len(arrived)} at the platform")
    for fault in found[:50]:
        print(f"FAULT {fault}")
    print(f"{len(found)} faults")
    return len(found)


def main() -> int:
    """Soak, tell, end with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the home, whatever is found")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="soak-"))
    found = asyncio.run(soak(asked.seconds, asked.seed, home))
    if found or asked.keep:
        print(f"kept for inspection: {home}")
    else:
        shutil.rmtree(home)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
