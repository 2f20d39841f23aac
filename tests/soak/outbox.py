"""`python -m tests.soak.outbox`: promise P3 under every fault we can think of; then the proof.

Messages go through five lanes, two of which repeat harmlessly, over platforms that answer with
every class of the error table, fall silent before or after they took a message, and break. The
sender lives in a process that is stopped, or killed (also at the worst moments: before and
after the platform took it); the platforms keep what they showed in a file that no kill takes
back. Afterwards every accepted message must have ended, with its reason, and no part of one
may have been shown twice. Time runs fast, so that ten minutes of backoff are no wait.

The same seed makes the same messages and much the same faults; what the machine makes of the
moments differs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import warnings
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engine.events import Bus
from engine.messages.address import Route
from engine.messages.cargo import Carriage
from engine.messages.delivery import Delivery
from engine.messages.fault import FaultClass
from engine.store import outbox
from gateway.channels.base import AccountStatus, Admit, Attempt, ChannelError, Fault, Sent
from gateway.channels.pace import Scope
from gateway.channels.windows import ReplyRules
from gateway.sender import Sender
from jobs.store.db import Database, Tx
from tests.soak.outbox_proof import Lane, Proof, proven

BEGAN: Final = datetime(2026, 3, 1, tzinfo=UTC)
WAITING: Final = 100  # messages of a lane that wait at once
BATCH: Final = 20
LONG: Final = timedelta(days=20)
SHORT: Final = timedelta(seconds=40)
LOOK: Final = 0.02  # seconds between two looks of the producer
GRACE: Final = timedelta(seconds=2)
WIDTH: Final = 40  # characters of one part

LANES: Final = (
    Lane(Route(channel="telegram", account_id="default", to="42", thread_id="7"), keyed=False),
    Lane(Route(channel="qqbot", account_id="default", to="c2c:ANN"), keyed=False),
    Lane(Route(channel="apprise", account_id="default", to="ops"), keyed=False),
    Lane(Route(channel="webhook", account_id="default", to="hook"), keyed=True),
    Lane(Route(channel="local", account_id="default", to="main"), keyed=True),
)
# Told by who does not know what became of it, or not said by this platform about a text.
_SPECIAL: Final = frozenset({FaultClass.NETWORK_AMBIGUOUS, FaultClass.DUPLICATE})
_FAULTS: Final = tuple(kind for kind in FaultClass if kind not in _SPECIAL)
_PASSING: Final = (
    FaultClass.RATE_LIMITED,
    FaultClass.SERVER,
    FaultClass.OFFLINE,
    FaultClass.NETWORK_PRESEND,
    FaultClass.FORMAT,
    FaultClass.TOO_LONG,
)


@dataclass(frozen=True, slots=True)
class FastClock:
    """Wall time that runs ``speed`` times as fast, and on through the deaths of processes."""

    real: float  # `time.time()` at the beginning
    speed: float

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=(time.time() - self.real) * self.speed)

    def monotonic(self) -> timedelta:
        return self.now() - BEGAN

    async def sleep_until(self, instant: datetime) -> None:
        while (left := (instant - self.now()).total_seconds() / self.speed) > 0:
            await asyncio.sleep(min(left, 1.0))


@dataclass
class Ledger:
    """A file of lines that were said, one write each: a kill loses none that returned."""

    path: Path

    def write(self, *words: object) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, (json.dumps(words) + "\n").encode())
        finally:
            os.close(handle)

    def lines(self) -> list[list[Any]]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]


@dataclass
class Platform:
    """One channel with one lane: shows messages, or misbehaves as the seed says."""

    lane: Lane
    shown: Ledger
    chance: random.Random
    trouble: float
    seen: set[tuple[str, int]] = field(default_factory=set)

    @property
    def id(self) -> str:
        return self.lane.route.channel

    async def start(self, admit: Admit) -> None: ...

    async def stop(self) -> None: ...

    def measure(self, text: str) -> int:
        return len(text)

    def limit(self, account_id: str) -> int:
        return WIDTH

    def carries(self, route: Route) -> Carriage:
        return Carriage(name=self.id)

    def scopes(self, route: Route) -> tuple[Scope, ...]:
        return ()

    def ready(self, account_id: str) -> bool:
        return self.chance.random() > self.trouble / 50

    def rules(self, route: Route) -> ReplyRules | None:
        return None

    def idempotent(self, attempt: Attempt) -> bool:
        return self.lane.keyed

    async def typing(self, route: Route) -> None: ...

    def status(self) -> tuple[AccountStatus, ...]:
        account = AccountStatus(
            account_id="default", configured=True, enabled=True, runtime="connected"
        )
        return (account,)

    async def probe(self, account_id: str) -> dict[str, Any]:
        return {"ok": True}

    async def send(self, attempt: Attempt) -> Sent:
        """One request: shown, refused, or nobody knows."""
        part = (attempt.key, attempt.chunk_index)
        await asyncio.sleep(self.chance.random() * 0.002)
        if self.lane.keyed and part in self.seen:
            return self._known(part)
        dice = self.chance.random()
        if dice >= self.trouble:
            return self._show(attempt)
        await self._misbehave(attempt, dice / self.trouble)
        return self._show(attempt)

    def _known(self, part: tuple[str, int]) -> Sent:
        """What is asked again under its key is the first answer, or said to be known."""
        if self.chance.random() < 0.3:
            raise ChannelError(Fault(fault=FaultClass.DUPLICATE, code="409"))
        return Sent(message_id=f"{part[0]}#{part[1]}")

    async def _misbehave(self, attempt: Attempt, dice: float) -> None:
        if dice < 0.55:
            raise ChannelError(self._fault(self.chance.choice(_PASSING)))
        if dice < 0.70:
            raise ChannelError(self._fault(self.chance.choice(_FAULTS)))
        if dice < 0.90:
            self._perhaps(attempt)
            raise ChannelError(Fault(fault=FaultClass.NETWORK_AMBIGUOUS, code="ReadTimeout"))
        if dice < 0.95:
            self._perhaps(attempt)
            raise RuntimeError("the adapter has a bug")
        if dice < 0.97:  # the worst moments
            self._perhaps(attempt)
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(self.chance.random() * 0.1)  # slow, that is all

    def _perhaps(self, attempt: Attempt) -> None:
        if self.chance.random() < 0.5:
            self._show(attempt)

    def _show(self, attempt: Attempt) -> Sent:
        self.shown.write(attempt.key, attempt.chunk_index, attempt.text)
        self.seen.add((attempt.key, attempt.chunk_index))
        return Sent(message_id=f"{attempt.key}#{attempt.chunk_index}", accepted=True)

    def _fault(self, kind: FaultClass) -> Fault:
        wait = self.chance.uniform(0, 60) if kind is FaultClass.RATE_LIMITED else None
        to = "43" if kind is FaultClass.MIGRATED else None
        return Fault(fault=kind, code="soak", retry_after_seconds=wait, migrate_to=to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One soak: how many messages, how much goes wrong, how fast time runs."""

    home: Path
    messages: int
    seed: int
    trouble: float = 0.3
    speed: float = 600.0
    real: float = field(default_factory=time.time)

    @property
    def shown(self) -> Ledger:
        return Ledger(self.home / "shown")

    @property
    def accepted(self) -> Ledger:
        return Ledger(self.home / "accepted")

    def message(self, number: int, now: datetime) -> Delivery:
        """The message of a number, always the same."""
        chance = random.Random(f"{self.seed}:{number}")
        lane = LANES[number % len(LANES)]
        words = f"message {number} " + "lorem ipsum dolor sit amet. " * chance.randrange(4)
        life = SHORT if chance.random() < 0.02 else LONG
        return Delivery(
            key=f"soak:{number}",
            route=lane.route,
            text=words,
            kind="message",
            created_at=now,
            expires_at=now + life,
        )


def live(plan: Plan, life: int) -> None:
    """One life of the sender, in a process of its own; returns when all has ended."""
    logging.disable(logging.CRITICAL)
    asyncio.run(_live(plan, life))


async def _live(plan: Plan, life: int) -> None:
    clock, bus, told = FastClock(plan.real, plan.speed), Bus(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    shown = plan.shown.lines()
    platforms: dict[str, Any] = {}
    for lane in LANES:
        chance = random.Random(f"{plan.seed}:{life}:{lane.route.channel}")
        platform = Platform(lane, plan.shown, chance, plan.trouble)
        platform.seen = {(key, index) for key, index, _ in shown}
        platforms[platform.id] = platform
    database = await Database.open(plan.home / "state.db")
    sender = Sender(database, platforms, clock=clock, bus=bus)
    await sender.start()
    try:
        await _produce(plan, database, sender, clock, told)
    finally:
        await sender.stop(GRACE)
        await database.close()


async def _produce(
    plan: Plan, database: Database, sender: Sender, clock: FastClock, told: asyncio.Event
) -> None:
    """Accept what is left, a few at a time, until all are accepted and have ended."""
    number = len(plan.accepted.lines())
    while not told.is_set():
        waiting = sum((await database.read(outbox.depth)).values())
        if number >= plan.messages and not waiting:
            return
        if number < plan.messages and waiting < WAITING * len(LANES):
            until = min(number + BATCH, plan.messages)
            fresh = [plan.message(n, clock.now()) for n in range(number, until)]

            def accept(tx: Tx, fresh: list[Delivery] = fresh) -> None:
                for delivery in fresh:
                    outbox.add(tx, delivery)

            await database.write(accept)
            for delivery in fresh:
                plan.accepted.write(delivery.key)
            number = until
            sender.poke()
        await asyncio.sleep(LOOK)


def soak(plan: Plan, *, kills: int, every: float = 0.6) -> Proof:
    """Live, be stopped and killed so often, then live on to the end; return the proof."""
    chance = random.Random(plan.seed)
    ends: Counter[str] = Counter()
    life = 0
    while True:
        life += 1
        child = _fork(plan, life)
        if life <= kills:
            time.sleep(chance.uniform(0.02, every))
            gentle = chance.random() < 0.3
            os.kill(child, signal.SIGTERM if gentle else signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        ends["killed" if code < 0 else "stopped" if life <= kills else "ended"] += 1
        if code > 0:
            raise SystemExit(f"life {life} broke with {code}: see the lines above")
        if code == 0 and life > kills:
            break
    with closing(sqlite3.connect(plan.home / "state.db")) as store:
        store.row_factory = sqlite3.Row
        rows = [dict(row) for row in store.execute("SELECT * FROM outbox ORDER BY id")]
    accepted = [line[0] for line in plan.accepted.lines()]
    return proven(accepted, rows, plan.shown.lines(), LANES, ends)


def _fork(plan: Plan, life: int) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # no thread of ours holds a lock
        child = os.fork()
    if child:
        return child
    code = 1
    try:
        live(plan, life)
        code = 0
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(code)


def main() -> int:
    """Soak, tell, end with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.outbox", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trouble", type=float, default=0.3, help="share of requests that fail")
    parser.add_argument("--keep", action="store_true", help="keep the home, whatever is found")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="soak-outbox-"))
    plan = Plan(home=home, messages=asked.messages, seed=asked.seed, trouble=asked.trouble)
    proof = soak(plan, kills=asked.kills)
    print(f"seed {asked.seed}, in {time.time() - plan.real:.0f} s: {proof}")
    for fault in proof.faults[:50]:
        print(f"FAULT {fault}")
    if proof.faults or asked.keep:
        print(f"kept for inspection: {home}")
    else:
        shutil.rmtree(home)
    return 1 if proof.faults else 0


if __name__ == "__main__":
    sys.exit(main())
