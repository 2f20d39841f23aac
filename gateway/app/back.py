"""Who asked for a restart is told that it is over, once (operations.md §7.2, §7.4)."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from engine.core import Engine
from engine.decisions.wake import Intent, NewEvent
from engine.messages.outbox import NewMessage
from engine.store import meta
from gateway import sentinel
from gateway.app.parts import Parts
from gateway.app.standing import Standing
from gateway.restarts import REMEMBERED, Restarts
from gateway.sentinel import Sentinel
from jobs.errors import EngineError, StoreUnavailable
from jobs.store.db import Database
from jobs.wallclock import MILLISECOND

log = logging.getLogger(__name__)

TOOK: Final = "gateway.restarts"  # how long the last ones took, in the store


async def tell_back(standing: Standing, parts: Parts, restarts: Restarts) -> None:
    """Remember how long the restart took, if it was one, and tell who waits for it."""
    database = parts.engine.database
    if not restarts.took:
        restarts.took = await _remembered(database)
    took = restarts.back(standing.clock.monotonic())
    if took is not None:
        told = json.dumps([one // MILLISECOND for one in restarts.took])
        await database.write(partial(meta.put, key=TOOK, value=told))
    await tell_requester(parts.engine, standing.options.paths.state, took)


async def tell_requester(engine: Engine, home: Path, took: timedelta | None) -> None:
    """Tell who asked, then forget who it was: whoever dies in between tells it again, once.

    A store that does not answer is asked again at the next start.
    """
    found = sentinel.read(home)
    if found is not None:
        said = sentinel.words(found, took)
        session = await _attempt(_to_session(engine, found, said))
        chat = await _attempt(_to_chat(engine, found, said))
        log.info("the gateway is back", extra={"because": found.reason, "said": said})
        if not (session and chat):
            return
    sentinel.forget(home)


async def _remembered(database: Database) -> list[timedelta]:
    found = await database.read(partial(meta.get, key=TOOK))
    try:
        return [int(one) * MILLISECOND for one in json.loads(found or "[]")][-REMEMBERED:]
    except (ValueError, TypeError):
        return []  # nothing depends on it


async def _to_session(engine: Engine, found: Sentinel, said: str) -> None:
    if found.session_key is None:
        return
    event = NewEvent(
        text=said,
        mode="now",
        source="restart",
        by="gateway",
        session_key=found.session_key,
        intent=Intent.IMMEDIATE,
        dedupe_key=_key(found),
    )
    await engine.waking.system_event(event)


async def _to_chat(engine: Engine, found: Sentinel, said: str) -> None:
    where = found.delivery
    if not where or not where.get("channel"):
        return
    account, thread = where.get("accountId"), where.get("threadId")
    message = NewMessage(
        text=said,
        key=_key(found),
        channel=str(where["channel"]),
        to=None if where.get("to") is None else str(where["to"]),
        account_id=None if account is None else str(account),
        thread_id=None if thread is None else str(thread),
    )
    await engine.outlet.send(message)


def _key(found: Sentinel) -> str:
    """The same restart is the same message, whoever finds the file twice."""
    return f"restart:{found.at.timestamp():.3f}"


async def _attempt(telling: Awaitable[None]) -> bool:
    """That somebody could not be told keeps no gateway from running; False: it may yet be."""
    try:
        await telling
    except EngineError as refused:
        log.warning("who asked for the restart was not told", extra={"because": str(refused)})
        return not isinstance(refused, StoreUnavailable)
    return True
