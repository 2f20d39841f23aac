"""The gateway held for a host that freezes or moves it: a lease, and its end (protocol.md §10.1).

While the lease stands nothing fires: see `engine.suspension`. It ends when it is given back, or
by itself, so that a host which forgot it silences nobody. Both are in the audit, with who and
how long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from engine.core import Engine
from engine.store import audit
from gateway.front.at_work import AtWork, at_work
from jobs.errors import Conflict, EngineError
from jobs.wallclock import MILLISECOND, ms

log = logging.getLogger(__name__)

LEASE: Final = timedelta(seconds=120)
LOOK: Final = timedelta(milliseconds=200)  # whether what runs has ended
EVENT: Final = "gateway.suspension"
Spawn = Callable[[Coroutine[Any, Any, None], str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds the gateway, and until when at most."""

    suspension_id: str
    request_id: str
    by: str
    since: datetime
    until: datetime


class FrontSuspension:
    """Keeps the promises of `gateway.rpc.core_admin.Suspending`."""

    def __init__(self, engine: Engine, leaving: Callable[[], int], spawn: Spawn) -> None:
        self._engine = engine
        self._leaving = leaving
        self._spawn = spawn
        self._lease: Lease | None = None
        self._told = "running"

    @property
    def held(self) -> bool:
        """Whether nothing is begun now."""
        return self._lease is not None

    @property
    def phase(self) -> str:
        """`running`, `draining` (held, and something still runs) or `suspended`."""
        if self._lease is None:
            return "running"
        return "draining" if self._at_work().total else "suspended"

    async def prepare(self, request_id: str, *, drain: bool, by: str) -> dict[str, Any]:
        """Hold everything, unless something runs; with ``drain`` what runs comes to its end."""
        now = self._engine.clock.now()
        if self._lease is not None and self._lease.request_id != request_id:
            return self._taken(self._lease, now)
        if self._lease is None:
            found = self._at_work()
            if found.total and not drain:
                return _busy("active-work", timedelta(seconds=1), found.total, found.blockers)
            await self._take(request_id, by, now)
        return self.status()

    def status(self, suspension_id: str | None = None) -> dict[str, Any]:
        """How it stands; a lease that is over is `running` again."""
        lease = self._lease
        if lease is None or suspension_id not in (None, lease.suspension_id):
            return {"status": "running" if lease is None else "busy"}
        found = self._at_work()
        told: dict[str, Any] = {
            "status": "draining" if found.total else "ready",
            "suspensionId": lease.suspension_id,
            "expiresAtMs": ms(lease.until),
            "activeCount": found.total,
            "blockers": list(found.blockers),
        }
        return {**told, "retryAfterMs": LOOK // MILLISECOND} if found.total else told

    async def resume(self, suspension_id: str, *, by: str) -> dict[str, Any]:
        """Give the lease back; ``resumed`` is false if there was none any more."""
        lease = self._lease
        if lease is not None and lease.suspension_id != suspension_id:
            raise Conflict(
                "the gateway was not resumed",
                why=f"another suspension is in force, of {lease.by}",
                fix=f"wait: it ends by itself at {lease.until:%H:%M:%S} UTC",
            )
        if lease is not None:
            await self._end(lease, by, "it was resumed")
        return {"ok": True, "status": "running", "resumed": lease is not None}

    def _at_work(self) -> AtWork:
        return at_work(self._engine, self._leaving())

    def _taken(self, lease: Lease, now: datetime) -> dict[str, Any]:
        words = f"the gateway is suspended by {lease.by} until {lease.until:%H:%M:%S} UTC"
        blockers = [{"kind": "suspension", "summary": words}]
        left = max(lease.until - now, timedelta())
        return _busy("suspension-held", left, self._at_work().total, blockers)

    async def _take(self, request_id: str, by: str, now: datetime) -> None:
        lease = Lease(
            suspension_id=str(uuid4()),
            request_id=request_id,
            by=by,
            since=now,
            until=now + LEASE,
        )
        # Before anything is awaited: what was counted is all there is.
        self._lease = lease
        self._engine.suspension.take(f"the gateway was suspended by {by}", now)
        try:
            await self._note(by, "gateway.suspend", lease, {"requestId": request_id})
        except EngineError:
            self._release()
            raise
        self._tell()
        log.warning("the gateway is suspended", extra={"by": by, "until": f"{lease.until:%c}"})
        self._spawn(self._watch(lease), "suspension")

    async def _watch(self, lease: Lease) -> None:
        """Tell how it goes, and end the lease when its time is over."""
        clock = self._engine.clock
        while self._lease is lease:
            self._tell()
            now = clock.now()
            if now >= lease.until:
                await self._end(lease, "gateway", "its time was over")
                return
            step = LOOK if self._told == "draining" else lease.until - now
            await clock.sleep_until(min(now + step, lease.until))

    async def _end(self, lease: Lease, by: str, because: str) -> None:
        if self._lease is not lease:
            return
        now = self._release()
        log.warning("the gateway goes on", extra={"by": by, "because": because})
        held = (now - lease.since) // MILLISECOND
        await self._note(by, "gateway.resume", lease, {"because": because, "heldMs": held})

    def _release(self) -> datetime:
        now = self._engine.clock.now()
        self._lease = None
        self._engine.suspension.release(now)
        self._tell()
        return now

    def _tell(self) -> None:
        if (phase := self.phase) != self._told:
            self._told = phase
            self._engine.bus.publish(EVENT, {"phase": phase})

    async def _note(self, by: str, action: str, lease: Lease, detail: Mapping[str, Any]) -> None:
        now = self._engine.clock.now()
        await self._engine.database.write(
            lambda tx: audit.note(
                tx, now=now, actor=by, action=action, subject=lease.suspension_id, detail=detail
            )
        )


def _busy(reason: str, wait: timedelta, active: int, blockers: Any) -> dict[str, Any]:
    return {
        "status": "busy",
        "reason": reason,
        "retryAfterMs": wait // MILLISECOND,
        "activeCount": active,
        "blockers": list(blockers),
    }
