"""The read side of beats: the last one, pages of them, and their sum (heartbeat.md §9, §20)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.clock import Clock
from engine.decisions import heartbeat, tally
from engine.decisions.tally import Ledger
from engine.ledger.explain import WIRE, record_words, wire_status
from engine.messages.delivery import Delivery
from engine.scheduling.outlook import Keeping
from engine.store import audit, beats as beat_rows, coming, outbox
from jobs import pages
from jobs.audit import JobAudit, Retention, Window
from jobs.errors import InvalidInput, JobNotFound
from jobs.ledger import Run, SkipReason
from jobs.store import runs as run_rows, slots
from jobs.store.base import RunQuery
from jobs.store.db import Database, Tx
from jobs.wallclock import EPOCH, ms
from jobs.windows import Hours

PAGE_MOST: Final = 1000
DRAWN: Final = timedelta(days=35)  # of a longer window the quarters of an hour are not told
_DIGITS: Final = 15
_DAY: Final = timedelta(days=1)
_SCAN: Final = 500
_SCAN_MOST: Final = 20_000  # rows a filter outside SQL looks at


class History:
    """Tells what beats were, each with its sentence."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        zone_of: Callable[[str | None], ZoneInfo],
        hours_of: Callable[[str | None], Hours | None] = lambda _agent: None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._zone_of = zone_of
        self._hours_of = hours_of

    async def last(self, agent_id: str | None = None) -> dict[str, Any] | None:
        """Return the newest record, of one agent or of all; nothing before the first."""
        now = self._clock.now()

        def work(tx: Tx) -> tuple[Run, Delivery | None] | None:
            beats = run_rows.last_beats(tx)
            mine = [run for run in beats if agent_id is None or run.agent_id == agent_id]
            return with_delivery(tx, coming.present(tx, mine[0], now)) if mine else None

        found = await self._database.read(work)
        return None if found is None else self.told(*found)

    async def page(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return records, newest first: ``{entries, total, offset, limit, hasMore, nextCursor}``.

        With the ``nextCursor`` of a page as ``cursor`` the next one goes on where it ended,
        whatever has been recorded since (§20).

        Raises `InvalidInput` with the closed list for a status or reason there is not.
        """
        query, status = _query(params), params.get("status")

        def work(tx: Tx) -> tuple[list[tuple[Run, Delivery | None]], int]:
            if status is not None:
                return _sifted(tx, query, str(status))
            found = run_rows.page(tx, query)
            return [with_delivery(tx, run) for run in found.entries], found.total

        rows, total = await self._database.read(work)
        more = query.offset + len(rows) < total
        return {
            "entries": [self.told(run, delivery) for run, delivery in rows],
            "total": total,
            "offset": query.offset,
            "limit": query.limit,
            "hasMore": more,
            "nextCursor": _cursor(query, [run for run, _ in rows]) if more else None,
        }

    async def summary(self, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Return what beats came to: by reason, by quarter of an hour, expected and recorded.

        ``{sinceMs, untilMs, agentId, reason}``; the last 24 hours unless told. With a reason
        only what it befell is counted.
        """
        query = _query(params)
        until = min(query.until or now, now)
        window = Window(since=query.since or until - _DAY, until=until)

        def work(tx: Tx) -> list[tuple[str, list[tally.Beat], Ledger]]:
            known = beat_rows.agents(tx)
            named = [one for one in known if query.agent_id in (None, one)]
            rows = {one: list(beat_rows.within(tx, one, window.since, until)) for one in named}
            return [(one, rows[one], _ledger(tx, one, window)) for one in named]

        found = await self._database.read(work)
        wanted = query.reasons
        if wanted:
            found = [
                (agent, [beat for beat in beats if beat.reason in wanted], Ledger())
                for agent, beats, _ in found
            ]
        said = await self._database.read(lambda tx: audit.feedback(tx, window.since, window.until))
        mine = [one for one in said if query.agent_id in (None, one.get("agentId"))]
        counted = Counter(str(one.get("verdict")) for one in mine)
        return self._summed(found, window) | {"feedback": dict(counted)}

    def _summed(
        self, found: list[tuple[str, list[tally.Beat], Ledger]], window: Window
    ) -> dict[str, Any]:
        drawn = window.until - window.since <= DRAWN
        beats = [beat for _, some, _ in found for beat in some]
        ledgers = [ledger for _, _, ledger in found]
        return {
            "sinceMs": ms(window.since),
            "untilMs": ms(window.until),
            "cellMs": tally.whole_ms(tally.CELL) if drawn else None,
            **tally.to_json(tally.tally(beats), tally.together(ledgers), cells=False),
            "agents": [
                {
                    "agentId": agent,
                    **tally.to_json(tally.tally(some), ledger, cells=drawn),
                    "activeHours": self._windows(agent, window) if drawn else None,
                }
                for agent, some, ledger in found
            ],
        }

    def _windows(self, agent: str, window: Window) -> list[dict[str, Any]] | None:
        hours = self._hours_of(agent)
        if hours is None:
            return None
        return [
            {"fromMs": ms(opens), "untilMs": ms(closes)}
            for opens, closes in hours.windows(window.since, window.until)
        ]

    def told(self, run: Run, delivery: Delivery | None) -> dict[str, Any]:
        """Return a record with its sentence."""
        return record_words(run, delivery, zone=self._zone_of(run.agent_id))


def _ledger(tx: Tx, agent_id: str, window: Window) -> Ledger:
    """Return what an audit says of an agent's slots; nothing of one whose beats are gone."""
    kept = Retention(since=window.until - Keeping().beats)
    try:
        found = slots.audited(
            tx, window, cron=kept, beats=kept, ref=heartbeat.job_id(agent_id)
        ).jobs
    except JobNotFound:
        return Ledger()
    return _of_audit(found[0])


def _of_audit(found: JobAudit) -> Ledger:
    return Ledger(
        expected=found.expected,
        recorded=found.recorded,
        missing=found.missing,
        holes=tuple((hole.first, hole.last, hole.count) for hole in found.holes),
        waiting=found.waiting,
    )


def _cursor(query: RunQuery, page: Sequence[Run]) -> str | None:
    """Return where the next page begins: what is newer than the first page is left out of it."""
    until = ms(query.until)
    if until is None:
        until = max((ms(run.claimed_at) for run in page if run.claimed_at), default=0) + 1
    return f"{until}:{query.offset + len(page)}"


def _from_cursor(params: Mapping[str, Any]) -> Mapping[str, Any]:
    cursor = params.get("cursor")
    if cursor is None:
        return params
    until, _, offset = str(cursor).partition(":")
    if not (until.isdecimal() and offset.isdecimal() and len(until) < _DIGITS > len(offset)):
        raise InvalidInput(f"cursor {cursor!r} is of no page", fix="use nextCursor of the answer")
    return {**params, "untilMs": int(until), "offset": int(offset)}


def _query(params: Mapping[str, Any]) -> RunQuery:
    params = _from_cursor(params)
    status, reason = params.get("status"), params.get("reason")
    return RunQuery(
        kind="heartbeat",
        agent_id=params.get("agentId"),
        statuses=() if status is None else WIRE[pages.listed(str(status), WIRE, "status")],
        reasons=() if reason is None else (pages.listed(str(reason), SkipReason, "reason"),),
        since=_instant(params.get("sinceMs")),
        until=_instant(params.get("untilMs")),
        limit=max(1, min(int(params.get("limit") or 50), PAGE_MOST)),
        offset=max(0, int(params.get("offset") or 0)),
    )


def _sifted(tx: Tx, query: RunQuery, status: str) -> tuple[list[tuple[Run, Delivery | None]], int]:
    """Return one page of beats with a status, and how many of the newest have it.

    What became of the message decides it too, which no column of a run can tell.
    """
    found: list[tuple[Run, Delivery | None]] = []
    for offset in range(0, _SCAN_MOST, _SCAN):
        batch = run_rows.page(tx, replace(query, limit=_SCAN, offset=offset)).entries
        rows = (with_delivery(tx, run) for run in batch)
        found.extend(row for row in rows if wire_status(*row) == status)
        if len(batch) < _SCAN:
            break
    return found[query.offset : query.offset + query.limit], len(found)


def with_delivery(tx: Tx, run: Run) -> tuple[Run, Delivery | None]:
    """Return a run with what became of its message."""
    return run, outbox.get(tx, run.delivery_key) if run.delivery_key else None


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(
            f"an instant must be epoch milliseconds, not {value!r}", fix="for example 1767225600000"
        )
    return EPOCH + timedelta(milliseconds=value)
