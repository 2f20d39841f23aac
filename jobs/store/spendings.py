"""What runs cost lately, summed as their rows appear and end (cron.md §22 rows 13, 14).

Budgets are asked at every slot, so a look must not cost what the day has rows: each row is
read once when it is new, and once more when it has ended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from jobs.ledger import RunStatus, Spent
from jobs.store import runs as run_rows
from jobs.store.base import RunCost
from jobs.store.db import Tx
from jobs.wallclock import ms

QUARTER: Final = 15 * 60 * 1000  # ms; every local midnight falls on one
KEPT: Final = timedelta(hours=26)  # the longest day, and an hour
_OPEN: Final = frozenset(status.value for status in RunStatus if not status.final)
_RAN: Final = frozenset({RunStatus.OK.value, RunStatus.FAILED.value})

Key = str | None  # a job; None: all of them


@dataclass(slots=True)
class _Sum:
    runs: int = 0
    tokens: int = 0
    usd: float = 0.0


class Spendings:
    """Sums per quarter of an hour: of each job that was asked about, and of all if asked.

    Of one kind of jobs: what beats spend does not count for cron's budgets.
    """

    def __init__(self, kind: str = "cron") -> None:
        self._kind = kind
        self._seen = 0  # rows up to this one are in the sums
        self._sums: dict[Key, dict[int, _Sum]] = {}
        self._open: dict[int, tuple[int, list[Key]]] = {}  # seq → quarter, the sums it is in
        self._oldest = 0

    def catch_up(self, tx: Tx, now: datetime, wanted: Collection[Key]) -> None:
        """Take in what happened since the last time, and everything of who is new.

        All is read before anything is counted: a read that fails changes nothing.
        """
        since = now - KEPT
        newest = run_rows.newest_seq(tx)
        over = self._open.keys() - run_rows.open_seqs(tx) if self._open else set()
        ended = run_rows.costs_of(tx, over)
        fresh: list[RunCost] = []
        if self._sums:
            fresh = run_rows.costs_since(tx, since, kind=self._kind, behind=self._seen, upto=newest)
        joined = [
            (key, run_rows.costs_since(tx, since, kind=self._kind, upto=newest, job_id=key))
            for key in wanted
            if key not in self._sums
        ]
        self._settle(ended)
        for seq in over:  # a row that is gone has no end to count
            self._open.pop(seq, None)
        for cost in fresh:
            self._take(cost, [key for key in (None, cost.job_id) if key in self._sums])
        for key, costs in joined:
            self._sums[key] = {}
            for cost in costs:
                self._take(cost, [key])
        self._seen = newest
        self._forget(ms(since) // QUARTER)

    def since(self, day: datetime, job_id: Key) -> Spent:
        """Return what runs cost that were claimed since a day began."""
        first = ms(day) // QUARTER
        sums = [one for quarter, one in self._sums.get(job_id, {}).items() if quarter >= first]
        return Spent(
            runs=sum(one.runs for one in sums),
            tokens=sum(one.tokens for one in sums),
            usd=sum(one.usd for one in sums),
        )

    def _take(self, cost: RunCost, keys: list[Key]) -> None:
        """Count a row that is new to these sums."""
        quarter = cost.at_ms // QUARTER
        self._add(quarter, keys, 1, cost)
        if keys and cost.status in _OPEN:
            _, counted = self._open.setdefault(cost.seq, (quarter, []))
            counted.extend(keys)

    def _settle(self, ended: Iterable[RunCost]) -> None:
        """Count what a run cost once it has ended; one that was passed over was none."""
        for cost in ended:
            quarter, keys = self._open.pop(cost.seq)
            self._add(quarter, keys, 0 if cost.status in _RAN else -1, cost)

    def _add(self, quarter: int, keys: Iterable[Key], runs: int, cost: RunCost) -> None:
        for key in keys:
            one = self._sums[key].setdefault(quarter, _Sum())
            one.runs += runs
            one.tokens += cost.tokens
            one.usd += cost.usd

    def _forget(self, before: int) -> None:
        if before <= self._oldest:
            return
        self._oldest = before
        for sums in self._sums.values():
            for quarter in [quarter for quarter in sums if quarter < before]:
                del sums[quarter]
