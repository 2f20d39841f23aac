"""What a row keeps of a gateway that was suspended when its slot came (protocol.md §10.1). Pure.

Nothing fires while a host holds the gateway; what came due meanwhile is decided when it goes
on, by the rules of any slot that comes late. Its row says who held it, from when to when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from engine.decisions.claiming import Planned
from jobs.ledger import Run
from jobs.values import changed
from jobs.wallclock import ms

HELD: Final = "held"  # the fact of a run


@dataclass(frozen=True, slots=True)
class Held:
    """A time in which nothing began."""

    why: str
    since: datetime
    until: datetime

    def covers(self, slot: datetime | None) -> bool:
        """Whether a slot came in it."""
        return slot is not None and self.since <= slot <= self.until

    @property
    def words(self) -> str:
        """For a person who reads the row."""
        return f"{self.why} from {self.since:%H:%M:%S} to {self.until:%H:%M:%S} UTC"

    def facts(self) -> Mapping[str, Any]:
        """For the row."""
        return {HELD: {"why": self.why, "sinceMs": ms(self.since), "untilMs": ms(self.until)}}


def noted(plan: Planned, held: Held | None) -> Planned:
    """Return the step with a note on each of its rows whose slot came while nothing began."""
    due = plan.claim.expect_next_run_at
    if held is None or not (held.covers(due) or any(held.covers(r.slot) for r in plan.claim.rows)):
        return plan
    rows = {run.id: _noted(run, held, due) for run in plan.claim.rows}
    claim = changed(plan.claim, rows=tuple(rows.values()))
    return changed(plan, claim=claim, to_run=[(rows[run.id], go) for run, go in plan.to_run])


def _noted(run: Run, held: Held, due: datetime) -> Run:
    if not held.covers(run.slot or due):
        return run
    facts = {**run.facts, **held.facts()}
    because = f"{run.because}; {held.words}" if run.because else run.because
    return changed(run, facts=facts, because=because)
