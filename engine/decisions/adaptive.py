"""Adaptive cadence: an agent that finds nothing for long looks more seldom. Pure (§25-16).

Its grid stays what it is, and every slot has its row: the slots in between are skipped with
their reason, so an audit finds no hole and the first activity brings the usual pace back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """After ``after`` polls in a row that found nothing, one comes every ``most`` at most."""

    after: int
    most: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lull:
    """Polls in a row that found nothing, since the last sign of activity."""

    polls: int = 0
    last_at: datetime | None = None  # slot of the newest of them


def rests_until(slack: Slack, lull: Lull, now: datetime) -> datetime | None:
    """Return before when no slot is worth a look; None while there was activity lately.

    A poll later than ``now`` was dated by a clock that has been set back: nobody rests by it.
    """
    if lull.polls < slack.after or lull.last_at is None or lull.last_at > now:
        return None
    return lull.last_at + slack.most
