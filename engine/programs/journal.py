"""What is written down about programs: every order in the audit, those in the background until
their end is told (operations.md §13.1, "beyond"). A row that a dead process left behind becomes
an honest event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from engine import process
from engine.agents.tools.exec import Caller
from engine.clock import Clock
from engine.decisions.wake import NOW, Intent, NewEvent
from engine.programs import words
from engine.sessions import origin_of
from engine.store import audit, events as event_rows, meta
from engine.store.routes import route_of, route_text
from jobs.store.db import Database, Tx
from jobs.store.rows import mapping_of, text_of
from jobs.wallclock import ms

BEHIND: Final = "exec:"  # meta keys of programs in the background
STARTED: Final = "exec.started"
REFUSED: Final = "exec.refused"
ENDED: Final = "exec.ended"
LOST: Final = "exec.lost"


class Journal:
    """Writes down what becomes of programs."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def write(self, work: Callable[[Tx], None]) -> None:
        """Do some writing."""
        await self._database.write(work)

    async def refused(self, name: str, caller: Caller, because: str) -> None:
        """An agent wanted to run what it may not."""
        await self._note(REFUSED, None, caller, {"command": name, "because": because})

    async def started(self, ident: str, name: str, caller: Caller, cwd: Path) -> None:
        """A program was started."""
        await self._note(STARTED, ident, caller, {"command": name, "workdir": str(cwd)})

    async def background(self, ident: str, name: str, caller: Caller, started_at: datetime) -> None:
        """It goes on in the background: from now on somebody has to be told of its end."""
        row = {
            "name": name,
            "agentId": caller.agent_id,
            "sessionKey": caller.session_key,
            "startedAtMs": ms(started_at),
            **({"route": route_text(caller.route)} if caller.route else {}),
        }
        await self._database.write(lambda tx: meta.put(tx, BEHIND + ident, text_of(row) or ""))

    def ended(
        self, ident: str, name: str, caller: Caller, how: str, unheard: str
    ) -> Callable[[Tx], None]:
        """Return what to write when a program in the background has ended."""
        detail = {"command": name, "how": how, **({"notTold": unheard} if unheard else {})}

        def work(tx: Tx) -> None:
            meta.drop(tx, BEHIND + ident)
            self._line(tx, ENDED, ident, f"agent {caller.agent_id}", detail)

        return work

    async def settle(self, main_of: Callable[[str], str | None]) -> int:
        """After a start: end what an earlier process left running, and tell whose it was.

        ``main_of`` knows the main session of an agent; None: there is no such agent.
        """
        left = await self._database.read(lambda tx: meta.below(tx, BEHIND))
        for ident, text in left.items():
            ended = await asyncio.to_thread(process.end_marked, f"ENGINE_EXEC_ID={ident}")
            row = mapping_of(text)
            text = words.lost(str(row.get("name")), ident, ended_now=ended > 0)
            main = main_of(str(row.get("agentId")))
            await self._database.write(
                partial(self._lost, ident=ident, row=row, text=text, main=main)
            )
        return len(left)

    def _lost(
        self, tx: Tx, *, ident: str, row: Mapping[str, Any], text: str, main: str | None
    ) -> None:
        agent, route = str(row.get("agentId")), row.get("route")
        if main is not None:
            now = self._clock.now()
            key = origin_of(str(row.get("sessionKey"))) or main
            event = NewEvent(
                text=text,
                mode=NOW,
                source="exec",
                by="the start of the gateway",
                context_key=f"exec:{ident}",
                route=route_of(route) if route else None,
                trusted=False,
                intent=Intent.EVENT,
            )
            event_rows.add(tx, event, agent_id=agent, session_key=key, now=now)
        meta.drop(tx, BEHIND + ident)
        untold = {"notTold": "its agent is not configured"} if main is None else {}
        detail = {"command": row.get("name"), **untold}
        self._line(tx, LOST, ident, f"agent {agent}", detail)

    async def _note(
        self, action: str, ident: str | None, caller: Caller, detail: Mapping[str, Any]
    ) -> None:
        more = {**detail, "runId": caller.run_id, "sessionKey": caller.session_key}
        actor = f"agent {caller.agent_id}"
        await self._database.write(lambda tx: self._line(tx, action, ident, actor, more))

    def _line(
        self, tx: Tx, action: str, ident: str | None, actor: str, detail: Mapping[str, Any]
    ) -> None:
        now = self._clock.now()
        audit.note(tx, now=now, actor=actor, action=action, subject=ident, detail=detail)
