"""What hooks cause: an event for an agent, or a one-shot job (protocol.md §11).

A turn that a hook asks for is a job like any other: durable before the request is answered,
on record with its reason, and its words go through the outbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from engine.clock import Clock
from engine.decisions.wake import Intent, NewEvent
from engine.store import audit
from gateway.hooks.orders import AgentOrder, WakeOrder
from gateway.rpc.desk import Once
from jobs.errors import Conflict, JobNotFound
from jobs.ids import new_id
from jobs.store.db import Database

BY: Final = "hook"


class Wakes(Protocol):
    """Where an event goes."""

    async def system_event(self, event: NewEvent) -> Mapping[str, Any]:
        """Queue it durably; with mode now it also wakes."""


class Scheduling(Protocol):
    """Where a turn goes."""

    async def add(self, params: Mapping[str, Any], *, by: str) -> Mapping[str, Any]:
        """`cron.add`."""

    async def run(
        self, ref: str, *, mode: str, by: str, process: str | None = None
    ) -> Mapping[str, Any]:
        """`cron.run`."""

    async def runs(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """`cron.runs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """Takes orders. A key that was used before gets the answer it got then."""

    wakes: Wakes
    scheduling: Scheduling
    database: Database
    clock: Clock
    once: Once

    async def wake(self, order: WakeOrder, key: str | None) -> dict[str, Any]:
        """Queue the text as an event from outside; ``{ok, mode}``."""

        async def queue() -> object:
            return await self.wakes.system_event(
                NewEvent(
                    text=order.text,
                    mode=order.mode,
                    source=BY,
                    by=BY,
                    agent_id=order.agent_id,
                    session_key=order.session_key,
                    context_key="hook:wake",
                    trusted=order.trusted,
                    intent=Intent.IMMEDIATE,
                )
            )

        await (queue() if key is None else self.once.run(f"hook:{key}", queue))
        return {"ok": True, "mode": order.mode}

    async def agent(self, order: AgentOrder, key: str | None) -> dict[str, Any]:
        """Put the turn into the store and begin it; ``{ok, runId}``.

        The job is named after the key, so that a repeat finds its run, after a restart too.
        """
        now = self.clock.now()
        job_id = f"hook:{_digest(key) if key is not None else new_id(now)}"
        if key is not None and (known := await self._run_of(job_id)):
            return {"ok": True, "runId": known}
        try:
            await self.scheduling.add(order.job(job_id, now.isoformat()), by=BY)
            told = await self.scheduling.run(job_id, mode="due", by=BY)
        except (Conflict, JobNotFound):  # a repeat at the same moment, or it is over already
            told = {}
        run_id = told.get("runId") or await self._run_of(job_id)
        return {"ok": True, "runId": run_id or job_id}

    async def dropped(self, path: str, because: str) -> None:
        """Put on record that a mapping let a request go."""
        now = self.clock.now()
        await self.database.write(
            lambda tx: audit.note(
                tx,
                now=now,
                actor=BY,
                action="hook.dropped",
                subject=path,
                detail={"because": because},
            )
        )

    async def _run_of(self, job_id: str) -> str | None:
        """Return the first run of a job; it may be gone, and its runs stay on record."""
        try:
            page = await self.scheduling.runs({"id": job_id})
        except JobNotFound:
            return None
        entries = page.get("entries") or ()
        return str(entries[-1]["runId"]) if entries else None


def _digest(key: str) -> str:
    return sha256(key.encode()).hexdigest()[:24]
