"""A beat's snapshot as its row keeps it, and back: with it a decision can be taken again. Pure.

design.md P4, heartbeat.md §25-19. Only what differs from an ordinary beat is written down. Of
calendars the days around the beat are kept, not the calendar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, Final

from engine.decisions.gates import BeatSnapshot
from engine.decisions.wake import Deferral, Intent
from jobs.hours import ActiveHours
from jobs.ledger import SkipReason
from jobs.wallclock import zone
from jobs.windows import Hours, Window, Windows

_DAY: Final = timedelta(days=1)
_AHEAD: Final = 15  # days of a calendar kept after the beat; one before
_ORDINARY: Final = BeatSnapshot(intent=Intent.SCHEDULED)


@dataclass(frozen=True, slots=True)
class Pinned(Window):
    """A window whose calendars are known for some days only."""

    closed: Mapping[date, str] = field(default_factory=dict)

    def objection(self, day: date) -> str | None:
        """Return why it did not open on a day; None if it did, or nobody knows."""
        return Window.objection(self, day) or self.closed.get(day)


def kept(snapshot: BeatSnapshot, now: datetime) -> dict[str, Any]:
    """Return a snapshot, JSON-ready."""
    told = {}
    for one in fields(BeatSnapshot):
        value = getattr(snapshot, one.name)
        if value != getattr(_ORDINARY, one.name):
            told[one.name] = _written(value, now)
    return told


def restored(told: Mapping[str, Any]) -> BeatSnapshot:
    """Return the snapshot a row keeps; what newer versions know beside it is as usual."""
    known = {one.name for one in fields(BeatSnapshot)}
    read = {key: _READ.get(key, _same)(value) for key, value in told.items() if key in known}
    return BeatSnapshot(**{"intent": Intent.SCHEDULED, **read})


# -- written -----------------------------------------------------------------------------------


def _written(value: object, now: datetime) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat()
        case timedelta():
            return value.total_seconds()
        case tzinfo():
            return str(value)
        case ActiveHours() | Windows():
            return _hours(value, now)
        case Deferral(reason, because, retry_at):
            return [reason, because, _written(retry_at, now)]
        case tuple():
            return [_written(one, now) for one in value]
        case _:
            raise AssertionError(f"a snapshot holds {type(value).__name__}, which no row can keep")


def _hours(hours: Hours, now: datetime) -> dict[str, Any]:
    if isinstance(hours, ActiveHours):
        told: dict[str, Any] = {"start": hours.start, "end": hours.end, "zone": hours.zone.key}
        return told | ({"wall": True} if hours.wall else {})
    return {"each": [_window(one, now) for one in hours.each]}


def _window(one: Window, now: datetime) -> dict[str, Any]:
    today = now.astimezone(one.hours.zone).date()
    days = [today + n * _DAY for n in range(-1, _AHEAD)]
    closed = {
        day.isoformat(): why
        for day in days
        if day.weekday() in one.weekdays and (why := one.objection(day)) is not None
    }
    told = {"hours": _hours(one.hours, now), "weekdays": sorted(one.weekdays)}
    return told | ({"closed": closed} if closed else {})


# -- read --------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _instant(value: Any) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _held(value: Any) -> Deferral | None:
    if value is None:
        return None
    return Deferral(SkipReason(value[0]), value[1], _instant(value[2]))


def _read_hours(value: Any) -> Hours | None:
    if value is None:
        return None
    if "each" in value:
        return Windows(tuple(_read_window(one) for one in value["each"]))
    return _plain_hours(value)


def _plain_hours(value: Mapping[str, Any]) -> ActiveHours:
    return ActiveHours(value["start"], value["end"], zone(value["zone"]), bool(value.get("wall")))


def _read_window(value: Mapping[str, Any]) -> Window:
    return Pinned(
        _plain_hours(value["hours"]),
        frozenset(value["weekdays"]),
        closed={date.fromisoformat(day): why for day, why in (value.get("closed") or {}).items()},
    )


def _no_route(value: Any) -> tuple[SkipReason, str] | None:
    return None if value is None else (SkipReason(value[0]), value[1])


def _span(value: Any) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


_READ: Final[Mapping[str, Callable[[Any], Any]]] = {
    "intent": Intent,
    "zone": zone,
    "idle_since": _instant,
    "idle_pause_after": _span,
    "backoff_until": _instant,
    "held_back": _held,
    "recent_run_at": _instant,
    "active_hours": _read_hours,
    "next_task_at": _instant,
    "rests_until": _instant,
    "no_route": _no_route,
}
