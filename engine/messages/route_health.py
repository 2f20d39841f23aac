"""Whether a way out works, by its last message and its last silent try. Pure.

heartbeat.md §25 row 18: a way that broke is noticed before it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from engine.messages.delivery import Delivery, State
from jobs.wallclock import ms


class Health(StrEnum):
    """What is known of a way out."""

    GOOD = "good"
    FAILING = "failing"
    UNTRIED = "untried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a try without a person's words ended."""

    at: datetime
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteHealth:
    """How a way out does, and what says so."""

    health: Health
    because: str
    delivered_at: datetime | None = None
    tried: Tried | None = None

    def to_json(self) -> dict[str, Any]:
        """The shape of `routeHealth`."""
        told = {
            "state": self.health.value,
            "because": self.because,
            "deliveredAtMs": ms(self.delivered_at),
            "triedAtMs": ms(self.tried.at) if self.tried else None,
        }
        return {key: value for key, value in told.items() if value is not None}


def judged(newest: Delivery | None, tried: Tried | None) -> RouteHealth:
    """Judge a way by whatever is newer: its newest message that ended, or its last try."""
    ended = newest.ended_at if newest is not None else None
    if newest is not None and ended is not None and (tried is None or ended >= tried.at):
        return _by_message(newest, ended, tried)
    if tried is None:
        return RouteHealth(health=Health.UNTRIED, because="no message has gone there yet")
    delivered = ended if newest is not None and newest.state is State.DELIVERED else None
    good = Health.GOOD if tried.ok else Health.FAILING
    words = tried.detail or ("its account answers" if tried.ok else "its account does not answer")
    return RouteHealth(health=good, because=words, delivered_at=delivered, tried=tried)


def _by_message(newest: Delivery, ended: datetime, tried: Tried | None) -> RouteHealth:
    match newest.state:
        case State.DELIVERED:
            words, health = "the last message arrived", Health.GOOD
        case State.FAILED | State.EXPIRED:
            kind = (newest.last_error or {}).get("class") or newest.reason or newest.state.value
            words, health = f"the last message did not arrive ({kind})", Health.FAILING
        case _:
            words, health = f"the last message ended as {newest.state.value}", Health.UNTRIED
    arrived = ended if newest.state is State.DELIVERED else None
    return RouteHealth(health=health, because=words, delivered_at=arrived, tried=tried)


def due(tried: Tried | None, every: timedelta, now: datetime) -> bool:
    """Whether a way is to be tried; one that was tried by a clock ahead of this one is, too."""
    if not every:
        return False
    return tried is None or not timedelta() <= now - tried.at < every
