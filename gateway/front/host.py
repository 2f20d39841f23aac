"""The process and its log, as clients see them (protocol.md §10.1)."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.config import effective
from engine.core import Engine
from engine.store import outbox
from gateway.auth.proof import identity_of


class FrontHost:
    """Keeps the promises of `gateway.rpc.core_admin.Host`."""

    def __init__(
        self,
        engine: Engine,
        logs: Path,
        key: bytes,
        startable: Callable[[], object],
        again: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._logs = logs
        self._key = key
        self._startable = startable
        self._again = again

    async def tail(self, cursor: int | None, *, limit: int, most: int) -> dict[str, Any]:
        """`logs.tail`, of the newest day."""
        return await asyncio.to_thread(tail, self._logs, cursor, limit=limit, most=most)

    async def activity(self) -> dict[str, Any]:
        """What is at work."""
        turns = self._engine.lanes.busy()
        jobs = [job for job in self._engine.running.jobs() if not job.startswith("heartbeat")]
        depth = await self._engine.database.read(outbox.depth)
        waiting = sum(depth.values())
        said = [f"{one.kind} of {one.agent_id}" for one in turns]
        said += [f"job {job}" for job in jobs]
        return {
            "queueSize": 0,
            "pendingReplies": waiting,
            "embeddedRuns": len(turns),
            "activeTasks": len(jobs),
            "blockers": [{"kind": "active", "summary": words} for words in said],
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

    async def restart(self, reason: str) -> dict[str, Any]:
        """Accepted: the gateway drains, tells its clients, and starts anew in this process.

        Not with a config no gateway starts with: that would be its end.
        """
        await asyncio.to_thread(self._startable)
        self._again(reason)
        return {"ok": True, "status": "accepted", "pid": os.getpid(), "reason": reason}


def tail(folder: Path, cursor: int | None, *, limit: int, most: int) -> dict[str, Any]:
    """Return the lines behind a cursor, or the newest; half a line waits for its end."""
    files = sorted(folder.glob("engine-*.log"))
    if not files:
        return {"file": str(folder), "cursor": 0, "size": 0, "lines": []}
    path = files[-1]
    with path.open("rb") as log:
        size = os.fstat(log.fileno()).st_size
        answer: dict[str, Any] = {"file": str(path), "size": size}
        if cursor is not None and cursor > size:  # a new day, or a file somebody emptied
            cursor, answer["reset"] = None, True
        start = max(size - most, 0) if cursor is None else cursor
        if cursor is not None and size - cursor > most:
            start = size - most
            answer |= {"truncated": True, "skippedBytes": start - cursor}
        log.seek(start)
        raw = log.read(size - start)
    if start and start != cursor:  # into the middle of a line
        cut = raw.find(b"\n") + 1
        start, raw = start + cut, raw[cut:]
    whole = raw.rfind(b"\n") + 1
    lines = raw[:whole].splitlines(keepends=True)
    end = start + whole
    if len(lines) > limit:
        answer["truncated"] = True
        if cursor is None:
            lines = lines[-limit:]
        else:  # the rest is told next time
            lines = lines[:limit]
            end = start + sum(len(line) for line in lines)
    shown = [_shown(line.decode("utf-8", "replace").rstrip("\n")) for line in lines]
    return {**answer, "cursor": end, "lines": shown}


def _shown(line: str) -> str:
    """The line with the names other command lines read it by (§10.1)."""
    try:
        found = json.loads(line)
    except ValueError:
        return line
    if not isinstance(found, Mapping):
        return line
    meta = {"logLevelName": str(found.get("level", "")).upper(), "name": found.get("logger")}
    return json.dumps({**found, "_meta": meta, "0": found.get("message")}, ensure_ascii=False)
