"""WHEN a job is due: at an instant, every so often, or by a cron expression. Pure arithmetic.

Slots of cron expressions follow policy ENGINE-DST/1 (cron.md §4.2): fixed times that fall
into a gap run once at its end, fixed times that come twice run the first time, wildcard
jobs follow real time. Every search is strictly after the instant it is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from jobs import cron, stagger, wallclock
from jobs.dayparts import Dayparts as Dayparts, part_from_json, part_to_json
from jobs.duration import format_duration, parse_duration
from jobs.errors import InvalidSchedule
from jobs.occurrence import Occurrence as Occurrence
from jobs.values import swift
from jobs.wallclock import DAY, EPOCH, Segment

SECOND: Final = timedelta(seconds=1)
_MS: Final = timedelta(milliseconds=1)
MAKE_UP_GAP: Final = 3 * 3600  # a longer gap is a skipped day, not a change of clocks
_AHEAD: Final = 2 * DAY  # no offset differs from another by more
_LATEST: Final = 250_000_000_000  # year 9892: beyond it, nothing is searched
_WIDEST: Final = DAY * 1000  # milliseconds of a stagger window
_EARLIEST: Final = datetime(1, 2, 1, tzinfo=UTC)
_A_PERIOD: Final = "for example 30m, or 1800000 milliseconds"


@dataclass(frozen=True, slots=True)
class DstPolicy:
    """What a fixed-time job does where the clocks change (cron.md §4.2 rule 9)."""

    gap: str = "run-after"  # run-after | skip | shift
    overlap: str = "first"  # first | last | both


_USUAL: Final = DstPolicy()


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
        return self.anchor + -(-(before - self.anchor) // self.period + 1) * self.period

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many instants of the grid lie in ``(after, until]``."""
        return max(0, self._upto(until) - self._upto(after))

    def instants(self, after: datetime, until: datetime) -> Iterator[int]:
        """Yield the slots in ``(after, until]``, in ms since 1970."""
        first, step = self.next_after(after) - EPOCH, self.period // _MS
        return iter(range(first // _MS, (until - EPOCH) // _MS + 1, step))

    def _upto(self, instant: datetime) -> int:
        return max(0, (instant - self.anchor) // self.period + 1)

    def describe(self) -> str:
        """Say it in the words of `cron list`."""
        return f"every {format_duration(self.period)}"


@swift
@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a zone. ``hash_id`` is the job's id, if `H` or a stagger needs it.

    Where nobody gave the zone it is the default one, and changes with it (cron.md §3.1).
    """

    expr: str
    tz: str
    stagger: timedelta = timedelta()
    day_match: str = "or"
    dst: DstPolicy = DstPolicy()
    hash_id: str | None = None
    tz_given: bool = field(default=True, compare=False)
    _found: _Search | None = field(default=None, init=False, repr=False, compare=False)

    def occurrence_after(self, after: datetime) -> Occurrence | None:
        """Return the first slot strictly after; None if there is none within forty years."""
        search = self._search()
        if not self.stagger:
            return search.after(after)
        shift = self.offset
        found = search.after(after - shift)
        return None if found is None else _moved(found, shift)

    def next_after(self, after: datetime) -> datetime | None:
        """Return the instant of the first slot strictly after."""
        search = self._found or self._search()
        if self.stagger:
            found = self.occurrence_after(after)
            return None if found is None else found.instant
        ahead = after - EPOCH
        second = search.next_second(ahead.days * DAY + ahead.seconds + 1)
        return None if second is None else EPOCH + timedelta(0, second)

    def told(self, instant: datetime) -> Occurrence:
        """Return the slot at an instant that was a slot when it was stored."""
        shift = self.offset if self.stagger else timedelta()
        ahead = instant - shift - EPOCH
        if ahead.microseconds:
            return Occurrence(instant)  # it was planned by another schedule
        slot = self._search().told(ahead.days * DAY + ahead.seconds)
        return _moved(slot, shift) if shift else slot

    def previous(self, before: datetime) -> datetime | None:
        """Return the instant of the last slot before."""
        back = timedelta(minutes=2)
        horizon = timedelta(days=366 * (cron.HORIZON + 1))
        while back < horizon * 2 and back < before - _EARLIEST:
            found, at = None, self.next_after(before - back - timedelta(microseconds=1))
            while at is not None and at < before:
                found, at = at, self.next_after(at)
            if found is not None:
                return found
            back *= 2
        return None

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many slots lie in ``(after, until]``, without walking them."""
        shift = self.offset if self.stagger else timedelta()
        first, last = _whole_second_after(after - shift), _whole_second_after(until - shift)
        return self._search().count(first, last)

    def instants(self, after: datetime, until: datetime) -> Iterator[int]:
        """Yield the slots in ``(after, until]``, in ms since 1970: many, and quickly."""
        shift = self.offset
        first, last = _whole_second_after(after - shift), _whole_second_after(until - shift)
        late, next_second = shift // _MS, self._search().next_second
        second = next_second(first)
        while second is not None and second < last:
            yield second * 1000 + late
            second = next_second(second + 1)

    @property
    def offset(self) -> timedelta:
        """How much later than its wall time this job runs: its place in the stagger window."""
        return stagger.offset(self.hash_id or "", self.stagger)

    @property
    def fields(self) -> cron.CronFields:
        """The expression as read; for explanations."""
        return self._search().fields

    def describe(self) -> str:
        """Say it in the words of `cron list`."""
        late = f" (stagger {format_duration(self.stagger)})" if self.stagger else ""
        return f"cron {self.expr} @ {self.tz}{late}"

    def _search(self) -> _Search:
        """Return the search; raises `InvalidSchedule` the first time if there can be none."""
        if self._found is None:
            # Only `H` needs the job's id: without it jobs with one expression share one search.
            hash_id = self.hash_id if "h" in self.expr.lower() else None
            found = _search(
                self.expr, self.tz, self.day_match, self.dst.gap, self.dst.overlap, hash_id
            )
            object.__setattr__(self, "_found", found)  # a cache: the value stays what it is
            return found
        return self._found


Cadence = Every | Cron
Repeating = Cadence | Dayparts[Cadence]
Schedule = At | Repeating


def _moved(slot: Occurrence, by: timedelta) -> Occurrence:
    return Occurrence(slot.instant + by, slot.nominal, slot.fold, slot.dst)


def _whole_second_after(after: datetime) -> int:
    ahead = after - EPOCH
    return ahead.days * DAY + ahead.seconds + 1


class _Search:
    """Slots of one expression in one zone, in whole UTC seconds."""

    __slots__ = ("_both", "_gap", "_last", "_segment", "_tz", "fields")

    def __init__(self, fields: cron.CronFields, tz: str, dst: DstPolicy) -> None:
        wallclock.zone(tz)
        self.fields = fields
        self._tz = tz
        self._gap = "skip" if fields.wildcard else dst.gap
        self._both = fields.wildcard or dst.overlap == "both"
        self._last = dst.overlap == "last" and not fields.wildcard
        self._segment = wallclock.segment(tz, 0)

    def after(self, after: datetime) -> Occurrence | None:
        """Return the first slot strictly after, with what it was meant to be."""
        second = self.next_second(_whole_second_after(after))
        return None if second is None else self.told(second)

    def next_second(self, at: int) -> int | None:
        """Return the first slot at or after a UTC second."""
        while True:
            now = self._segment
            if not now.start <= at < now.end:
                if at >= _LATEST:
                    return None
                now = self._segment = wallclock.segment(self._tz, at)
            if at >= now.calm and not self._last:
                local = self.fields.next_local(at + now.offset)
                found = None if local is None else local - now.offset
            elif at == now.since and self._swallowed_by(now) is not None:
                return at
            else:
                found = self._within(now, at)
            if found is None:
                return None
            if found < now.end:
                return found
            if now.then < now.offset and (self._last or at > now.until - DAY):
                at = now.end  # wall times that have passed may come again: no leap
            else:
                # Whatever lies between was no match; only a change of clocks can move it.
                at = max(now.end, found - _AHEAD)

    def _within(self, now: Segment, at: int) -> int | None:
        """Return the first match at or after ``at``, as if the offset of ``now`` held on."""
        local = self.fields.next_local(self._not_again(now, at + now.offset))
        if local is not None and self._last and self._comes_again(now, local):
            local = self.fields.next_local(now.until + now.offset)
        found = None if local is None else local - now.offset
        shifted = self._shifted(now, at)
        return shifted if found is None or (shifted is not None and shifted < found) else found

    def _not_again(self, now: Segment, local: int) -> int:
        """Pass over wall times that came before the clocks went back: they had their slot."""
        if self._both or self._last or now.before <= now.offset:
            return local
        return max(local, now.since + now.before)

    @staticmethod
    def _comes_again(now: Segment, local: int) -> bool:
        """Whether the clocks will go back over this wall time of ``now``."""
        return now.until + now.then <= local < now.until + now.offset

    def _swallowed_by(self, now: Segment) -> int | None:
        """Return the first fixed time the gap before ``now`` swallowed, if it is made up."""
        if self._gap != "run-after" or not 0 < now.offset - now.before <= MAKE_UP_GAP:
            return None
        nominal = self.fields.next_local(now.since + now.before)
        return nominal if nominal is not None and nominal < now.since + now.offset else None

    def _shifted(self, now: Segment, at: int) -> int | None:
        """Return the next swallowed time moved by the gap, for jobs that ask for that."""
        gap = now.offset - now.before
        if self._gap != "shift" or not 0 < gap <= MAKE_UP_GAP or at >= now.since + gap:
            return None
        nominal = self.fields.next_local(at + now.before)
        if nominal is None or nominal >= now.since + now.offset:
            return None
        return nominal - now.before

    def told(self, second: int) -> Occurrence:
        """Return the slot at a UTC second with its wall time and what the clocks did to it."""
        instant = EPOCH + timedelta(seconds=second)
        now = self._segment
        if not now.start <= second < now.end:
            now = wallclock.segment(self._tz, second)
        local = second + now.offset
        if now.before == now.offset == now.then:
            return Occurrence(instant, local)
        if second == now.since and (nominal := self._swallowed_by(now)) is not None:
            return Occurrence(instant, nominal, 0, "gap")
        if (shifted := self._shifted(now, second)) == second:
            return Occurrence(instant, shifted + now.before, 0, "gap")
        if now.before > now.offset and local < now.since + now.before:
            return Occurrence(instant, local, 1, "overlap")
        if self._comes_again(now, local):
            return Occurrence(instant, local, 0, "overlap")
        return Occurrence(instant, local)

    def count(self, first: int, last: int) -> int:
        """Return how many slots lie in ``first <= utc < last``."""
        found = 0
        while first < last:
            now = wallclock.segment(self._tz, first)
            end = min(now.end, last)
            if first >= now.calm and not self._last:
                found += self.fields.count_local(first + now.offset, end + now.offset)
            else:
                found += self._count_within(now, first, end)
            first = now.end
        return found

    def _count_within(self, now: Segment, first: int, end: int) -> int:
        """Count beside a change of clocks, by arithmetic; one by one only what a gap moved."""
        found = 0
        gap = now.offset - now.before
        if self._gap == "shift" and 0 < gap <= MAKE_UP_GAP:
            stop = min(end, now.since + gap)
            at = self.next_second(first) if first < stop else None
            while at is not None and at < stop:
                found, at = found + 1, self.next_second(at + 1)
            first = max(first, stop)
        local = self._not_again(now, first + now.offset)
        made_up = first == now.since and self._swallowed_by(now) is not None
        # A made-up slot at a matching wall time is the same slot.
        found += made_up and self.fields.next_local(first + now.offset) != first + now.offset
        found += self.fields.count_local(local, end + now.offset)
        if self._last:  # wall times that will come again run then
            again = max(local, now.until + now.then), min(end, now.until) + now.offset
            found -= self.fields.count_local(*again)
        return found

    def skipped_days(self, after: int, until: int) -> list[Occurrence]:
        """Return fixed times in ``after < utc <= until`` that a skipped day took away.

        Their instants are the end of the gap and a few milliseconds: no slot of whole
        seconds can have the same, and the ledger's key stays unique.
        """
        lost: list[Occurrence] = []
        now = self._segment
        if not now.start <= after < now.end:
            now = wallclock.segment(self._tz, after)
        while now.end <= until and not self.fields.wildcard:
            now = wallclock.segment(self._tz, now.end)
            if now.offset - now.before > MAKE_UP_GAP and now.since == now.start > after:
                at = self.fields.next_local(now.since + now.before)
                while at is not None and at < now.since + now.offset:
                    instant = EPOCH + timedelta(seconds=now.since, milliseconds=len(lost) + 1)
                    lost.append(Occurrence(instant, at, 0, "gap"))
                    at = self.fields.next_local(at + 1)
        return lost


@lru_cache(maxsize=512)
def _search(
    expr: str, tz: str, day_match: str, gap: str, overlap: str, hash_id: str | None
) -> _Search:
    fields = cron.parse(expr, hash_id=hash_id, day_match=day_match)
    return _Search(fields, tz, DstPolicy(gap, overlap))


def nonexistent(schedule: Schedule, after: datetime, until: datetime) -> list[Occurrence]:
    """Return slots in ``(after, until]`` whose local day does not exist (§4.2 rule 6)."""
    if not isinstance(schedule, Cron):
        return []
    first, last = after - EPOCH, until - EPOCH
    return schedule._search().skipped_days(
        first.days * DAY + first.seconds, last.days * DAY + last.seconds
    )


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
            if not schedule.tz_given:
                made["tzIsDefault"] = True
            if schedule.day_match != "or":
                made["dayMatch"] = schedule.day_match
            if schedule.dst != DstPolicy():
                made["dst"] = {"gap": schedule.dst.gap, "overlap": schedule.dst.overlap}
            return made
        case Dayparts(base, parts):
            return {
                "kind": "dayparts",
                "base": None if base is None else schedule_to_json(base),
                "parts": [part_to_json(one, schedule_to_json(one.grid)) for one in parts],
            }


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
        case "dayparts" if "base" in values:  # of heartbeats: nobody writes it
            return _dayparts(values, now)
        case _:
            raise InvalidSchedule(
                "the schedule was refused",
                why=f"kind {kind!r} is not known",
                fix="use kind at, every or cron",
            )


def _dayparts(values: Mapping[str, Any], now: datetime) -> Dayparts[Cadence]:
    def grid(given: Mapping[str, Any]) -> Cadence:
        read = schedule_from_json(given, default_tz="UTC", job_id=None, now=now)
        if isinstance(read, Every | Cron):
            return read
        raise InvalidSchedule(
            "the schedule was refused",
            why="a part of it is no cadence",
            fix="use kind every or cron in it",
        )

    parts = tuple(part_from_json(one, grid(one["schedule"])) for one in values["parts"])
    base = values["base"]
    return Dayparts(None if base is None else grid(base), parts)


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
    except (TypeError, ValueError, OverflowError):
        raise InvalidSchedule(
            "schedule.everyMs was refused", why=f"got {given!r}", fix=_A_PERIOD
        ) from None
    anchor = values.get("anchorMs")
    try:
        start = EPOCH + timedelta(milliseconds=int(anchor)) if anchor is not None else now
    except (TypeError, ValueError, OverflowError):
        raise InvalidSchedule(
            "schedule.anchorMs was refused",
            why=f"got {anchor!r}",
            fix="use milliseconds since 1970, or leave it out",
        ) from None
    if period < timedelta(milliseconds=1):
        raise InvalidSchedule(
            "schedule.everyMs was refused",
            why=f"it must be at least 1 ms (got {given!r})",
            fix=_A_PERIOD,
        )
    return Every(period, start)


def _cron(
    values: Mapping[str, Any], default_tz: str, job_id: str | None, now: datetime
) -> Schedule:
    expr = values.get("expr", values.get("cron"))
    if not isinstance(expr, str) or not expr.strip():
        raise InvalidSchedule(
            "invalid cron schedule: expr is required", fix='write one, as in "0 9 * * 1-5"'
        )
    expr = expr.strip()
    if expr.lower().startswith("@every "):
        return _every({**values, "everyMs": expr[7:].strip()}, now)
    stagger_ms = _stagger_ms(values.get("staggerMs") or 0)
    needs_id = stagger_ms or "h" in expr.lower()
    given = values.get("dst")
    return _shared(
        expr,
        str(values.get("tz") or default_tz),
        stagger_ms,
        _word("dayMatch", values.get("dayMatch") or "or", ("or", "and")),
        _dst(given) if given else _USUAL,
        job_id if needs_id else None,
        bool(values.get("tz")) and values.get("tzIsDefault") is not True,
    )


def _stagger_ms(given: Any) -> int:
    try:
        found = int(given)
    except (TypeError, ValueError, OverflowError):
        found = -1
    if not 0 <= found <= _WIDEST:
        raise InvalidSchedule(
            "schedule.staggerMs was refused",
            why=f"got {given!r}",
            fix="use milliseconds, a day at most",
        )
    return found


@lru_cache(maxsize=1024)
def _shared(
    expr: str,
    tz: str,
    stagger_ms: int,
    day_match: str,
    dst: DstPolicy,
    hash_id: str | None,
    tz_given: bool,
) -> Cron:
    """Return one value for all jobs with the same words: they share what was found out."""
    wallclock.zone(tz)
    made = Cron(expr, tz, timedelta(milliseconds=stagger_ms), day_match, dst, hash_id, tz_given)
    made.fields  # noqa: B018 - read now, so that what cannot be read is refused here
    return made


_DST: Final = {"gap": ("run-after", "skip", "shift"), "overlap": ("first", "last", "both")}


def _dst(given: Any) -> DstPolicy:
    if not isinstance(given, Mapping) or given.keys() - _DST.keys():
        raise InvalidSchedule(
            "schedule.dst was refused", why=f"got {given!r}", fix="use an object of gap and overlap"
        )
    return DstPolicy(**{key: _word(f"dst.{key}", given[key], _DST[key]) for key in given})


def _word(key: str, given: Any, known: tuple[str, ...]) -> str:
    if given not in known:
        raise InvalidSchedule(
            f"schedule.{key} was refused",
            why=f"got {given!r}",
            fix=f"use one of {', '.join(known)}",
        )
    return str(given)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ms(value: timedelta) -> int:
    return value // _MS
