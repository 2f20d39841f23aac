"""When the next beat comes, by the plan of now: a row tells what was so when it ended. Pure.

heartbeat.md §18: a changed cadence or window holds from the next tick on. The plan is kept in
one word of the store, so that readers of the store alone need no config.
"""

from __future__ import annotations

from datetime import datetime

from jobs.ledger import Run
from jobs.values import changed
from jobs.wallclock import EPOCH, MILLISECOND, ms


def planned_word(due: datetime | None, now: datetime) -> str:
    """Return the word of a plan: when it was made, and what comes; nothing, if no beat does."""
    return f"{ms(now)} {'' if due is None else ms(due)}"


def replanned(run: Run, word: str | None, now: datetime) -> Run:
    """Return a beat with the next one as it is planned now, if the plan is newer than its end.

    What is of a time to come was told by a clock that has been set back since.
    """
    if word is None:
        return run
    made, _, due = word.partition(" ")
    ended = run.ended_at or run.claimed_at
    if not made.isdecimal() or _at(made) > now:
        return run
    if ended is not None and _at(made) < ended <= now:
        return run
    return changed(run, next_due_at=_at(due) if due.isdecimal() else None)


def _at(text: str) -> datetime:
    return EPOCH + int(text) * MILLISECOND
