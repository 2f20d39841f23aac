"""WHEN a job is due: at an instant, every so often, or by a cron expression. Pure arithmetic.

Slots of cron expressions follow policy ENGINE-DST/1 (cron.md §4.2): fixed times that fall
into a gap run once at its end, fixed times that come twice run the first time, wildcard
jobs follow real time. Every search is strictly after the instant it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from jobs import cron, stagger, wallclock
from jobs.duration import format_duration, parse_duration
from jobs.errors import InvalidSchedule
from jobs.wallclock import DAY, EPOCH, Segment

SECOND: Final = timedelta(seconds=1)
MAKE_UP_GAP: Final = 3 * 3600  # a longer gap is a skipped day, not a change of clocks
_AHEAD: Final = 2 * DAY  # no offset differs from another by more
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One slot: its instant, and the wall time the schedule meant by it."""

    instant: datetime
    nominal: int | None = None  # local seconds since 1970
    fold: int = 0
    dst: str | None = None  # gap | overlap

    @property
    def nominal_local(self) -> str | None:
        """The wall time meant, as ``YYYY-MM-DDTHH:MM:SS``; it may not exist on that day."""
        if self.nominal is None:
            return None
        days, second = divmod(self.nominal, DAY)
        hour, rest = divmod(second, 3600)
        day = date.fromordinal(days + _EPOCH_ORDINAL)
        return f"{day.isoformat()}T{hour:02}:{rest // 60:02}:{rest % 60:02}"


@dataclass(frozen=True, slots=True)
class DstPolicy:
    """What a fixed-time job does where the clocks change (cron.md §4.2 rule 9)."""

    gap: str = "run-after"  # run-after | skip | shift
    overlap: str = "first"  # first | last | both


@dataclass(frozen=True, slots=True)
class At:
    """Once."""

    at: datetime

    def occurrence_after(self, after: datetime) -> Occurrence | None:
        """Return the slot, if it is still to come."""
        return Occurrence(self.at) if self.at > after else None

    def next_after(self, after: datetime) -> datetime | None:
        """Return the instant, if it is still to come."""
        return self.at if self.at > after else None

    def previous(self, before: datetime) -> datetime | None:
        """Return the instant, if it has passed."""
        return self.at if self.at < before else None

    def describe(self) -> str:
        """Say it in the words of `cron list`."""
        return f"at {self.at.astimezone(UTC):%Y-%m-%d %H:%M}Z"


@dataclass(frozen=True, slots=True)
class Every:
    """A fixed cadence counted from an anchor, so restarts do not move it (cron.md §2)."""

    period: timedelta
    anchor: datetime = EPOCH

    def occurrence_after(self, after: datetime) -> Occurrence:
        """Return the next slot of the grid."""
        return Occurrence(self.next_after(after))

    def next_after(self, after: datetime) -> datetime:
        """Return the next instant of the grid; the anchor itself is its first."""
        if after < self.anchor:
            return self.anchor
        return self.anchor + ((after - self.anchor) // self.period + 1) * self.period

    def previous(self, before: datetime) -> datetime | None:
        """Return the grid's last instant before."""
        if before <= self.anchor:
            return None
        return self.anchor + -(-(before - self.anchor) // self.period - 1) * self.period

    def describe(self) -> str:
        """Say it in the words of `cron list`."""
        return f"every {format_duration(self.period)}"


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a zone. ``hash_id`` is the job's id: `H` and stagger use it."""

    expr: str
    tz: str
    stagger: timedelta = timedelta()
    day_match: str = "or"
    dst: DstPolicy = DstPolicy()
    hash_id: str | None = None

    def occurrence_after(self, after: datetime) -> Occurrence | None:
        """Return the first slot strictly after; None if there is none within eight years."""
        search = _search(self)
        if not self.stagger:
            return search.after(after)
        shift = stagger.offset(self.hash_id or "", self.stagger)
        found = search.after(after - shift)
        return None if found is None else _moved(found, shift)

    def next_after(self, after: datetime) -> datetime | None:
        """Return the instant of the first slot strictly after."""
        if self.stagger:
            found = self.occurrence_after(after)
            return None if found is None else found.instant
        second = _search(self).next_second(_whole_second_after(after))
        return None if second is None else EPOCH + timedelta(seconds=second)

    def previous(self, before: datetime) -> datetime | None:
        """Return the instant of the last slot before."""
        back = timedelta(minutes=2)
        horizon = timedelta(days=366 * (cron.HORIZON + 1))
        while back < horizon * 2:
            found, at = None, self.next_after(before - back - timedelta(microseconds=1))
            while at is not None and at < before:
                found, at = at, self.next_after(at)
            if found is not None:
                return found
            back *= 2
        return None

    def describe(self) -> str:
        """Say it in the words of `cron list`."""
        late = f" (stagger {format_duration(self.stagger)})" if self.stagger else ""
        return f"cron {self.expr} @ {self.tz}{late}"


Schedule = At | Every | Cron


def _moved(slot: Occurrence, by: timedelta) -> Occurrence:
    return Occurrence(slot.instant + by, slot.nominal, slot.fold, slot.dst)


def _whole_second_after(after: datetime) -> int:
    ahead = after - EPOCH
    return ahead.days * DAY + ahead.seconds + 1


class _Search:
    """Slots of one expression in one zone, in whole UTC seconds."""

    __slots__ = ("_both", "_dst", "_fields", "_last", "_segment", "_tz", "_wildcard")

    def __init__(self, fields: cron.CronFields, tz: str, dst: DstPolicy) -> None:
        wallclock.zone(tz)
        self._fields = fields
        self._tz = tz
        self._dst = dst
        self._wildcard = fields.wildcard
        self._both = fields.wildcard or dst.overlap == "both"
        self._last = dst.overlap == "last" and not fields.wildcard
        self._segment = wallclock.segment(tz, 0)

    def after(self, after: datetime) -> Occurrence | None:
        """Return the first slot strictly after, with what it was meant to be."""
        second = self.next_second(_whole_second_after(after))
        return None if second is None else self._told(second)

    def next_second(self, at: int) -> int | None:
        """Return the first slot at or after a UTC second."""
        while True:
            now = self._segment
            if not now.start <= at < now.end:
                now = self._segment = wallclock.segment(self._tz, at)
            if at == now.start and now.before < now.offset and self._in_gap(now) is not None:
                return at
            found = self._within(now, at)
            if found is None:
                return None
            if found < now.end:
                return found
            # Whatever lies between was no match; only a change of clocks can move it.
            at = max(now.end, found - _AHEAD)

    def _within(self, now: Segment, at: int) -> int | None:
        """Return the first match at or after ``at``, as if the offset of ``now`` held on."""
        local = at + now.offset
        if now.before > now.offset and not self._both and not self._last:
            # These wall times came before the clocks went back: they have had their slot.
            local = max(local, now.start + now.before) if local < now.start + now.before else local
        found = self._fields.next_local(local)
        if self._last and found is not None:
            found = self._not_repeated(now, found)
        shifted = self._shifted(now, at)
        if found is None:
            return shifted
        return found - now.offset if shifted is None else min(found - now.offset, shifted)

    def _in_gap(self, now: Segment) -> int | None:
        """Return the first fixed time the gap before ``now`` swallowed, if it is made up."""
        gap = now.offset - now.before
        if self._wildcard or self._dst.gap != "run-after" or not 0 < gap <= MAKE_UP_GAP:
            return None
        nominal = self._fields.next_local(now.start + now.before)
        return nominal if nominal is not None and nominal < now.start + now.offset else None

    def _shifted(self, now: Segment, at: int) -> int | None:
        """Return the next swallowed time moved by the gap, for jobs that ask for that."""
        gap = now.offset - now.before
        if self._dst.gap != "shift" or self._wildcard or not 0 < gap <= MAKE_UP_GAP:
            return None
        if at >= now.start + gap:
            return None
        nominal = self._fields.next_local(at + now.before)
        swallowed = nominal is not None and nominal < now.start + now.offset
        return nominal - now.before if nominal is not None and swallowed else None

    def _not_repeated(self, now: Segment, local: int) -> int:
        """Move past wall times that come again after the clocks go back."""
        then = wallclock.segment(self._tz, now.end)
        if then.offset < now.offset and local >= now.end + then.offset:
            return max(local, now.end + now.offset)
        return local

    def _told(self, second: int) -> Occurrence:
        """Return the slot at a UTC second with its wall time and what the clocks did to it."""
        instant = EPOCH + timedelta(seconds=second)
        now = wallclock.segment(self._tz, second)
        if second == now.start and (nominal := self._in_gap(now)) is not None:
            return Occurrence(instant, nominal, 0, "gap")
        local = second + now.offset
        if now.before > now.offset and local < now.start + now.before:
            return Occurrence(instant, local, 1, "overlap")
        if second >= now.end - DAY:
            then = wallclock.segment(self._tz, now.end)
            if then.offset < now.offset and local >= now.end + then.offset:
                return Occurrence(instant, local, 0, "overlap")
        return Occurrence(instant, local)

    def swallowed(self, after: int, until: int) -> list[Occurrence]:
        """Return fixed times that a gap longer than three hours took away."""
        lost: list[Occurrence] = []
        now = wallclock.segment(self._tz, after)
        while now.end <= until and not self._wildcard:
            now = wallclock.segment(self._tz, now.end)
            if now.offset - now.before > MAKE_UP_GAP and now.start > after:
                at = self._fields.next_local(now.start + now.before)
                while at is not None and at < now.start + now.offset:
                    lost.append(Occurrence(EPOCH + timedelta(seconds=now.start), at, 0, "gap"))
                    at = self._fields.next_local(at + 1)
        return lost


@lru_cache(maxsize=1024)
def _search(schedule: Cron) -> _Search:
    fields = cron.parse(schedule.expr, hash_id=_hash_id(schedule), day_match=schedule.day_match)
    return _Search(fields, schedule.tz, schedule.dst)


def _hash_id(schedule: Cron) -> str | None:
    """Only `H` needs the job's id: without it jobs with one expression share one search."""
    return schedule.hash_id if "h" in schedule.expr.lower() else None


def nonexistent(schedule: Schedule, after: datetime, until: datetime) -> list[Occurrence]:
    """Return slots in ``(after, until]`` whose local day does not exist (§4.2 rule 6)."""
    if not isinstance(schedule, Cron):
        return []
    first = (after - EPOCH) // SECOND
    return _search(schedule).swallowed(first, (until - EPOCH) // SECOND)


# -- as JSON (cron.md §2) --------------------------------------------------------------------


def schedule_to_json(schedule: Schedule) -> dict[str, Any]:
    """Return the stored and wire form."""
    match schedule:
        case At(at):
            return {"kind": "at", "at": _iso(at)}
        case Every(period, anchor):
            return {"kind": "every", "everyMs": _ms(period), "anchorMs": _ms(anchor - EPOCH)}
        case Cron():
            made: dict[str, Any] = {
                "kind": "cron",
                "expr": schedule.expr,
                "tz": schedule.tz,
                "staggerMs": _ms(schedule.stagger),
            }
            if schedule.day_match != "or":
                made["dayMatch"] = schedule.day_match
            if schedule.dst != DstPolicy():
                made["dst"] = {"gap": schedule.dst.gap, "overlap": schedule.dst.overlap}
            return made


def schedule_from_json(
    values: Mapping[str, Any], *, default_tz: str, job_id: str | None, now: datetime
) -> Schedule:
    """Read the stored, wire or legacy form.

    Raises `InvalidSchedule`, naming what is wrong and what would be right.
    """
    kind = str(values.get("kind") or _guessed(values)).lower()
    match kind:
        case "at":
            return At(_instant(values))
        case "every":
            return _every(values, now)
        case "cron":
            return _cron(values, default_tz, job_id, now)
        case _:
            raise InvalidSchedule(
                "the schedule was refused",
                why=f"kind {kind!r} is not known",
                fix="use kind at, every or cron",
            )


def _guessed(values: Mapping[str, Any]) -> str:
    for kind, keys in (
        ("at", ("at", "atMs")),
        ("every", ("everyMs", "every")),
        ("cron", ("expr", "cron")),
    ):
        if any(key in values for key in keys):
            return kind
    return ""


def _instant(values: Mapping[str, Any]) -> datetime:
    given = values.get("at", values.get("atMs"))
    try:
        if isinstance(given, (int, float)) or (
            isinstance(given, str) and given.strip().isdecimal()
        ):
            return EPOCH + timedelta(milliseconds=int(given))
        at = datetime.fromisoformat(str(given).strip())
    except (ValueError, OverflowError):
        raise InvalidSchedule(
            f"Invalid schedule.at: expected ISO-8601 timestamp (got {given!r})",
            fix="write it like 2026-12-01T09:00:00Z",
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _every(values: Mapping[str, Any], now: datetime) -> Every:
    given = values.get("everyMs", values.get("every"))
    try:
        is_text = isinstance(given, str) and not given.strip().isdecimal()
        period = parse_duration(str(given)) if is_text else timedelta(milliseconds=int(given or 0))
        anchor = values.get("anchorMs")
        start = EPOCH + timedelta(milliseconds=int(anchor)) if anchor is not None else now
    except (TypeError, ValueError, OverflowError):
        raise InvalidSchedule("schedule.everyMs was refused", why=f"got {given!r}") from None
    if period < timedelta(milliseconds=1):
        raise InvalidSchedule(
            "schedule.everyMs was refused", why=f"it must be at least 1 ms (got {given!r})"
        )
    return Every(period, start)


def _cron(
    values: Mapping[str, Any], default_tz: str, job_id: str | None, now: datetime
) -> Schedule:
    expr = values.get("expr", values.get("cron"))
    if not isinstance(expr, str) or not expr.strip():
        raise InvalidSchedule("invalid cron schedule: expr is required")
    expr = expr.strip()
    if expr.lower().startswith("@every "):
        return _every({**values, "everyMs": expr[7:].strip()}, now)
    tz = str(values.get("tz") or default_tz)
    wallclock.zone(tz)
    policy = values.get("dst") or {}
    made = Cron(
        expr,
        tz,
        stagger=timedelta(milliseconds=int(values.get("staggerMs") or 0)),
        day_match=str(values.get("dayMatch") or "or"),
        dst=DstPolicy(**{key: str(policy[key]) for key in ("gap", "overlap") if key in policy}),
        hash_id=job_id,
    )
    _search(made)
    return made


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ms(value: timedelta) -> int:
    return value // timedelta(milliseconds=1)
