"""The desk of the outbox: messages on their way, listed, tried again, stopped, purged.

channels.md §11. Everything done here is on record in the audit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from engine.clock import Clock
from engine.events import Bus
from engine.messages.delivery import Delivery, State
from engine.messages.media import Media, called
from engine.messages.outbox import MAY_REPEAT, TERMINAL, Event, expiry, receipt
from engine.messages.route import LOCAL
from engine.store import audit, inbox, kept, outbox
from jobs.errors import InvalidInput, NotFound
from jobs.store.db import Database, Tx
from jobs.wallclock import EPOCH, MILLISECOND, ms

PAGE: Final = 50
KEEP: Final = timedelta(days=30)  # what a purge without a word leaves
_SHOWN: Final = 200  # characters of a text in a list


class OutboxDesk:
    """What an operator does with messages."""

    def __init__(self, *, database: Database, clock: Clock, bus: Bus) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`outbox.list`."""
        now = self._clock.now()
        return await self._database.read(lambda tx: listing(tx, params, now))

    async def show(self, key: str) -> dict[str, Any]:
        """`outbox.show`."""
        return await self._database.read(lambda tx: shown(tx, key))

    async def retry(self, key: str, *, by: str) -> dict[str, Any]:
        """`outbox.retry`: one that waits goes now; one that ended goes once more, under a new key.

        What arrived is not sent again; what may have arrived is marked so.
        """
        now = self._clock.now()

        def work(tx: Tx) -> tuple[Delivery, bool]:
            message, fresh = _retried(tx, _known(tx, key), now)
            detail = {"key": message.key, "fresh": fresh}
            audit.note(tx, now=now, actor=by, action="outbox.retry", subject=key, detail=detail)
            return message, fresh

        message, fresh = await self._database.write(work)
        self._bus.publish("outbox", {"key": message.key, "state": message.state.value})
        return {"ok": True, "fresh": fresh, **words_of(message)}

    async def cancel(self, key: str, *, by: str) -> dict[str, Any]:
        """`outbox.cancel`: one that has not left yet does not leave."""
        now = self._clock.now()

        def work(tx: Tx) -> Delivery:
            message = _known(tx, key)
            gone = outbox.move_on(tx, message, Event.CANCEL, now, reason="operator")
            if gone is None:
                raise InvalidInput(
                    f"message {key} was not cancelled",
                    why=f"it is {message.state}",
                    fix=f"engine outbox show {key}",
                )
            audit.note(tx, now=now, actor=by, action="outbox.cancel", subject=key)
            return gone

        message = await self._database.write(work)
        self._bus.publish("outbox", {"key": message.key, "state": message.state.value})
        return {"ok": True, **words_of(message)}

    async def purge(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """`outbox.purge`: delete what has ended; what is on its way is never deleted."""
        now = self._clock.now()
        states = _states(params.get("state")) or tuple(TERMINAL)
        if open_ones := [state.value for state in states if state not in TERMINAL]:
            raise InvalidInput(
                "nothing was purged",
                why=f"a message that is {open_ones[0]} is on its way",
                fix="engine outbox cancel KEY",
            )
        before = params.get("beforeMs")
        when = now - KEEP if before is None else EPOCH + int(before) * MILLISECOND

        def work(tx: Tx) -> int:
            gone = outbox.purge(tx, states, when)
            detail = {"removed": gone, **dict(params)}
            audit.note(tx, now=now, actor=by, action="outbox.purge", detail=detail)
            return gone

        return {"ok": True, "removed": await self._database.write(work)}


def _retried(tx: Tx, message: Delivery, now: datetime) -> tuple[Delivery, bool]:
    match message.state:
        case State.QUEUED:
            outbox.hurry(tx, message.key)
            return _known(tx, message.key), False
        case State.HELD:
            return outbox.move_on(tx, message, Event.CONTACT, now) or message, False
        case State.SENDING | State.DELIVERED:
            raise InvalidInput(
                f"message {message.key} was not tried again",
                why=f"it is {message.state}",
                fix=f"engine outbox show {message.key}",
            )
        case _:
            return _once_more(tx, message, now)


def _once_more(tx: Tx, message: Delivery, now: datetime) -> tuple[Delivery, bool]:
    doubtful = message.state is State.UNKNOWN or bool(message.notes.get(MAY_REPEAT))
    fresh = Delivery(
        key=message.key,
        route=message.route,
        text=message.text,
        kind="message",
        created_at=now,
        expires_at=expiry("message", now),
        agent_id=message.agent_id,
        run_id=message.run_id,
        job_id=message.job_id,
        priority=message.priority,
        notes={MAY_REPEAT: True} if doubtful else {},
        media=message.media,
    )
    made, news = outbox.again(tx, fresh, message.key)
    if (words := kept.find(tx, message.key)) is not None:
        kept.resent(tx, made.key, [words.number], now)
    return made, news


def listing(tx: Tx, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return one page of messages, newest first, and what is amiss with the others."""
    since = params.get("sinceMs")
    found, total = outbox.page(
        tx,
        states=_states(params.get("state")),
        agent_id=params.get("agentId"),
        channel=params.get("channel"),
        since=None if since is None else EPOCH + int(since) * MILLISECOND,
        limit=int(params.get("limit") or PAGE),
        offset=int(params.get("offset") or 0),
    )
    entries = [words_of(one) for one in found]
    for entry in entries:
        entry["text"] = entry["text"][:_SHOWN]
    return {
        "entries": entries,
        "total": total,
        "depth": outbox.depth(tx),
        "amiss": outbox.amiss(tx, now),
    }


def shown(tx: Tx, key: str) -> dict[str, Any]:
    """Return one message whole, with its chunks and its receipt."""
    message = _known(tx, key)
    told = {**words_of(message), "chunks": list(message.chunks), "cursor": message.cursor}
    seen = inbox.seen_at(tx, key) if message.route.channel == LOCAL else None
    return told if seen is None else {**told, "seenAtMs": ms(seen)}


def words_of(message: Delivery) -> dict[str, Any]:
    """Return a message as clients get it."""
    route = message.route
    words: dict[str, Any] = {
        "key": message.key,
        "state": message.state.value,
        "kind": message.kind,
        "reason": message.reason,
        "to": route.whom,
        "accountId": route.account_id,
        "agentId": message.agent_id,
        "runId": message.run_id,
        "jobId": message.job_id,
        "text": message.text or called(message.media),
        "media": [_file(one) for one in message.media] or None,
        "createdAtMs": ms(message.created_at),
        "expiresAtMs": ms(message.expires_at),
        "endedAtMs": ms(message.ended_at),
        "receipt": receipt(message),
    }
    return {name: value for name, value in words.items() if value is not None}


def _file(media: Media) -> dict[str, Any]:
    told = {"name": media.name, "kind": media.kind.value, "size": media.size, "url": media.url}
    return {name: value for name, value in told.items() if value is not None}


def _known(tx: Tx, key: str) -> Delivery:
    found = outbox.get(tx, key)
    if found is None:
        raise NotFound(
            f"message not found: {key}",
            why="it was purged, or never accepted",
            fix="engine outbox list",
        )
    return found


def _states(word: object) -> tuple[State, ...]:
    if word in (None, "all"):
        return ()
    names = [state.value for state in State]
    if word not in names:
        raise InvalidInput(
            f"there is no state {word!r} in the outbox", fix=f"name one of: {', '.join(names)}, all"
        )
    return (State(str(word)),)
