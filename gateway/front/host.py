"""The process and its log, as clients see them (protocol.md §10.1)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

from engine.config import effective
from engine.core import Engine
from engine.log.files import Place
from engine.log.reading import record, tail
from engine.store import outbox
from gateway.auth.proof import identity_of
from gateway.front.at_work import at_work
from gateway.restarts import Appointment, Wanted
from jobs.wallclock import ms


class FrontHost:
    """Keeps the promises of `gateway.rpc.core_admin.Host`."""

    def __init__(
        self,
        engine: Engine,
        logs: Callable[[], Place],
        key: bytes,
        startable: Callable[[], object],
        again: Callable[[Wanted], Appointment],
        leaving: Callable[[], int] = lambda: 0,
    ) -> None:
        self._leaving = leaving
        self._engine = engine
        self._logs = logs
        self._key = key
        self._startable = startable
        self._again = again

    async def tail(
        self, cursor: int | None, *, limit: int, most: int, mark: int | None
    ) -> dict[str, Any]:
        """`logs.tail`, of the newest file, or of the one somebody was at."""
        place = self._logs()
        told = await asyncio.to_thread(tail, place, cursor, limit=limit, most=most, mark=mark)
        return {**told, "lines": [shown(line) for line in told["lines"]]}

    async def activity(self) -> dict[str, Any]:
        """What is at work."""
        depth = await self._engine.database.read(outbox.depth)
        found = at_work(self._engine, self._leaving())
        return {
            "queueSize": found.waiting,
            "pendingReplies": sum(depth.values()),
            "embeddedRuns": found.turns,
            "activeTasks": found.tasks,
            "leaving": found.leaving,
            "totalActive": found.total,
            "blockers": list(found.blockers),
        }

    def own_identity(self) -> dict[str, Any]:
        """`gateway.identity.get`: as devices have one, made of the key of the home."""
        device_id, public_key = identity_of(self._key)
        return {"deviceId": device_id, "publicKey": public_key}

    def identity(self, agent_id: str) -> dict[str, Any]:
        """`agent.identity.get`: its name for people, and its signs if the config gives any."""
        config = self._engine.config
        agent = effective.find_agent(config, agent_id)
        own = agent.identity if agent is not None else None
        name = (own.name if own else None) or (agent.name if agent else None) or agent_id
        told: dict[str, Any] = {"agentId": agent_id, "name": name}
        if own is not None and own.emoji:
            told["emoji"] = own.emoji
        if own is not None and own.avatar:
            told["avatar"] = own.avatar
        return told

    async def restart(self, wanted: Wanted) -> dict[str, Any]:
        """Accepted: the gateway drains, tells its clients, and starts anew in this process.

        Not with a config no gateway starts with: that would be its end.
        """
        await asyncio.to_thread(self._startable)
        made = self._again(wanted)
        told = {"ok": True, "status": "accepted", "pid": os.getpid(), "reason": wanted.reason}
        return {**told, "coalesced": made.coalesced, "at": ms(made.at)}


def shown(line: str) -> str:
    """The line with the names other command lines read it by (§10.1)."""
    found = record(line)
    if found is None:
        return line
    meta = {"logLevelName": str(found.get("level", "")).upper(), "name": found.get("subsystem")}
    told = {**found, "time": found.get("ts"), "_meta": meta, "0": found.get("msg")}
    return json.dumps(told, ensure_ascii=False)
