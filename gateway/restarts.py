"""When a gateway starts anew, and how long that takes: decisions, and what outlives one.

operations.md §7.2 (cooldown, coalescing, what clients are told to expect), §7.4 (who asked).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from signal import Signals
from statistics import median
from typing import Any, Final

from jobs.wallclock import MILLISECOND

COOLDOWN: Final = timedelta(seconds=30)
USUAL: Final = timedelta(milliseconds=1500)  # as long as none has been measured
REMEMBERED: Final = 5


class Kind(StrEnum):
    """What a restart is for."""

    CONFIG_APPLY = "config-apply"
    UPDATE = "update"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One request for a restart, as whoever makes it says it."""

    reason: str
    by: str = ""  # a client, a signal, the config file
    kind: Kind = Kind.RESTART
    delay: timedelta = timedelta()
    session_key: str | None = None  # who is told when it is back
    delivery: Mapping[str, Any] | None = None  # channel, to, accountId, threadId
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Appointment:
    """When it is made. ``coalesced``: not now, but with another, or after the cooldown."""

    at: datetime
    coalesced: bool


def appointed(
    now: datetime, *, delay: timedelta, last: datetime | None, pending: datetime | None
) -> Appointment:
    """Return when a restart that is asked for now is made.

    ``last``: when the last one was; ``pending``: when one is to be made already.
    """
    if pending is not None:
        return Appointment(pending, coalesced=True)
    wish = now + delay
    earliest = wish if last is None else max(wish, last + COOLDOWN)
    return Appointment(earliest, coalesced=earliest > wish)


def expected(took: Sequence[timedelta]) -> timedelta:
    """Return how long clients are told it will take: the median of the last five."""
    if not took:
        return USUAL
    return MILLISECOND * median(one // MILLISECOND for one in took[-REMEMBERED:])


@dataclass(slots=True)
class Restarts:
    """What a process remembers of its restarts while gateways come and go in it."""

    took: list[timedelta] = field(default_factory=list)
    last: datetime | None = None
    pending: datetime | None = None
    wanted: Wanted | None = None  # the one that is made
    began: timedelta | None = None  # monotonic; since when nobody is served
    ended_by: Signals | None = None  # of a signal that came while nobody was there to stop

    def ask(self, wanted: Wanted, now: datetime) -> Appointment:
        """Make an appointment; whoever wants to be told of it takes the place of who does not."""
        made = appointed(now, delay=wanted.delay, last=self.last, pending=self.pending)
        if self.wanted is None or (wanted.session_key and not self.wanted.session_key):
            self.wanted = wanted
        self.pending = made.at
        return made

    def begin(self, now: datetime, since: timedelta) -> None:
        """It is made now."""
        self.last, self.pending, self.began = now, None, since

    def back(self, since: timedelta) -> timedelta | None:
        """The next gateway is ready; returns how long that took, None if it was no restart."""
        if self.began is None:
            return None
        took, self.began, self.wanted = since - self.began, None, None
        self.took = [*self.took, took][-REMEMBERED:]
        return took
