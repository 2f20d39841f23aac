"""Looks for a beat's probes: programs, addresses, files and mail, side by side, none for long.

Programs run as those of jobs' gates do (cron.md §22 row 16), addresses and mail servers are
reached under the rules of webhooks (`cron.webhookSsrfPolicy`).
What came out is compared in `engine.decisions.probes`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
from collections import ChainMap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from engine.agents.secrets import redacted
from engine.decisions.probes import Mailbox, MailCount, Probe, Probed, ProbeKind, Sight, compared
from engine.process import RunProgram, run as run_program, unstarted
from engine.roster.roster import AgentProfile
from engine.store import meta
from jobs.duration import format_duration
from jobs.store.db import Database, Tx

# Both raise `OSError` with why an address was not reached, or a mailbox not counted.
Fetch = Callable[[str], Awaitable[bytes]]
Count = Callable[[Mailbox], Awaitable[MailCount]]

_MOST: Final = 1_000_000  # bytes of one look
_NOTHING: Final = 1  # the exit status of a program that says: nothing to do


class Probing:
    """Asks probes; remembers nothing by itself."""

    def __init__(
        self, database: Database, *, run: RunProgram | None = None, threads: bool = True
    ) -> None:
        self._database = database
        self._threads = threads  # false in a simulation, where nothing else waits for the disk
        self._run = run or run_program
        self._fetch: Fetch | None = None
        self._count: Count | None = None

    def use(self, fetch: Fetch, count: Count) -> None:
        """Reach addresses and mailboxes this way from now on: there are channels."""
        self._fetch, self._count = fetch, count

    async def asked(self, agent: AgentProfile) -> Probed | None:
        """Return what the probes of an agent see now; None if it has none."""
        probes = agent.beat.probes
        if not probes:
            return None
        before = await self._database.read(lambda tx: remembered(tx, agent.agent_id))
        seen = await asyncio.gather(*(self._sight(probe, agent) for probe in probes))
        return compared(probes, seen, before)

    async def _sight(self, probe: Probe, agent: AgentProfile) -> Sight:
        try:
            async with asyncio.timeout(probe.timeout.total_seconds()):
                match probe.kind:
                    case ProbeKind.COMMAND:
                        return await self._command(probe, agent)
                    case ProbeKind.URL:
                        return await self._url(probe)
                    case ProbeKind.MAIL:
                        return await self._mail(probe)
                    case ProbeKind.FILE:
                        path = agent.workspace / probe.what[0]
                        return (
                            await asyncio.to_thread(_file, path) if self._threads else _file(path)
                        )
        except TimeoutError:
            return Sight(fault=f"no answer within {format_duration(probe.timeout)}")

    async def _command(self, probe: Probe, agent: AgentProfile) -> Sight:
        """Look at what a program prints; ending with 1 says that there is nothing."""
        try:
            end = await self._run(
                probe.what,
                cwd=agent.workspace if agent.workspace.is_dir() else None,
                env=ChainMap({"ENGINE_AGENT_ID": agent.agent_id}, os.environ),
                output_most=_MOST,
                drop_rest=True,
            )
        except OSError as error:
            return Sight(fault=unstarted(error, probe.what[0], None))
        if end.code == _NOTHING:
            return Sight(quiet=True)
        if end.code != 0:
            said = (end.err or end.out).decode(errors="replace").strip().splitlines()
            last = redacted(said[-1][:200]) if said else ""
            return Sight(fault=f"exit status {end.code}{': ' if last else ''}{last}")
        return Sight(digest=_digest(end.out))

    async def _url(self, probe: Probe) -> Sight:
        if self._fetch is None:
            return Sight(fault="addresses are not reached here")
        try:
            return Sight(digest=_digest(await self._fetch(probe.what[0])))
        except OSError as error:
            return Sight(fault=str(error))

    async def _mail(self, probe: Probe) -> Sight:
        if self._count is None or probe.mailbox is None:
            return Sight(fault="mailboxes are not reached here")
        try:
            return (await self._count(probe.mailbox)).sight()
        except OSError as error:
            return Sight(fault=redacted(str(error), [probe.mailbox.password]))


def _file(path: Path) -> Sight:
    """Look at a file: its bytes, or that there is none.

    A large one by its first bytes, its size and when it was written; a pipe is not waited for.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                return Sight(fault=f"{path.name} is no file")
            written = f" {found.st_mtime_ns}" if found.st_size > _MOST else ""
            return Sight(digest=_digest(stream.read(_MOST) + f"{found.st_size}{written}".encode()))
    except FileNotFoundError:
        return Sight(digest="missing")
    except OSError as error:
        return Sight(fault=f"{path.name} cannot be read: {error.strerror}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def remembered(tx: Tx, agent_id: str) -> dict[str, str]:
    """Return what an agent's probes saw when it last looked."""
    text = meta.get(tx, _key(agent_id))
    found: dict[str, str] = json.loads(text) if text else {}
    return found


def remember(tx: Tx, agent_id: str, probed: Probed) -> None:
    """Keep what the probes saw, in the transaction of the beat that was asked because of it."""
    meta.put(tx, _key(agent_id), json.dumps(probed.digests))


def _key(agent_id: str) -> str:
    return f"probes:{agent_id}"
