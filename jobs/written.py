"""Schedules as people write them: `every 30m`, `in 20m`, `0 7 * * *`, an instant (cron.md §5)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule
from jobs.wallclock import EPOCH, segment, zone

JUST_NOW: Final = timedelta(minutes=1)
FARTHEST: Final = timedelta(days=3653)
CENTURY: Final = timedelta(days=366 * 100)  # no span anybody means is longer
_LOCAL: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?"
    r"(Z|z|[+-]\d{2}:?\d{2})?"
)
_FROM_NOW: Final = re.compile(r"^(?:\+|in\s+)", re.IGNORECASE)
_NO_INSTANT: Final = timedelta(days=180)  # what digits cannot mean: seconds have ten of them
_DIGITS_OF_SECONDS: Final = 10
_HOURS: Final = 24
_SPANS: Final = "Use a duration like 10m, 1h, or 1d."
_BAD_AT: Final = "Invalid --at. Use an ISO timestamp or a duration like 20m."


def whole_ms(instant: datetime) -> datetime:
    """Return the instant as the store will keep it."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def parse_at(text: str, *, now: datetime, tz: str | None = None) -> datetime:
    """Return the instant meant: epoch ms, ISO 8601, or `20m`, `+20m`, `in 20m` from now.

    Without an offset it is wall time in ``tz``, or UTC. Raises `InvalidSchedule` for what
    cannot be read, for a date that does not exist and for a wall time the clocks skip.
    """
    raw = text.strip()
    if raw.isdecimal() and raw.strip("0"):
        return _of_ms(raw, text)
    if (found := _LOCAL.fullmatch(raw)) is not None:
        return _absolute(found, text, tz)
    try:
        span = _distance(raw)
    except InvalidSchedule:
        raise _unreadable(text) from None
    if span <= timedelta():
        raise InvalidSchedule(
            f"{_BAD_AT} Got {text!r}, which is not in the future", fix="choose a longer one"
        )
    return whole_ms(now + span)


def check_at(at: datetime, *, now: datetime) -> datetime:
    """Return the instant if it may still be scheduled; up to a minute late is due now."""
    if now - at > JUST_NOW:
        late = (now - at) // JUST_NOW
        raise InvalidSchedule(
            f"schedule.at is in the past: {_iso(at)} ({late} minutes ago)."
            f" Current time: {_iso(now)}",
            fix="choose a later instant, or a duration like 20m",
        )
    if at - now > FARTHEST:
        raise InvalidSchedule(
            f"schedule.at is too far in the future: {_iso(at)}. Maximum allowed: 10 years",
            fix="choose an earlier instant",
        )
    return at


def parse_schedule(text: str) -> dict[str, Any]:
    """Return the JSON form of one line: `every …` or `@every …`, 5 or 6 fields, else `at`."""
    words = text.split()
    if not words:
        raise InvalidSchedule(
            "Choose exactly one schedule: --at, --every, or --cron",
            fix="for example: every 30m",
        )
    match words[0].lower():
        case "every" | "@every":
            span = " ".join(words[1:])
            if span.isdecimal():
                raise InvalidSchedule(
                    f"Invalid --every. {_SPANS} Got {span!r}, which has no unit",
                    fix=f"every {span}m",
                )
            return {"kind": "every", "everyMs": span}
        case "at":
            return {"kind": "at", "at": " ".join(words[1:])}
        case first if first.startswith("@") or (len(words) in (5, 6, 7) and first != "in"):
            return {"kind": "cron", "expr": " ".join(words)}
        case _ if any("*" in word for word in words):  # too few fields, and said so
            return {"kind": "cron", "expr": " ".join(words)}
        case _:
            return {"kind": "at", "at": text.strip()}


def is_relative(wish: object) -> bool:
    """Tell whether an instant is told as a distance from now; what cannot be read is none."""
    if not isinstance(wish, str) or wish.strip().isdecimal():
        return False
    try:
        return bool(_distance(wish))
    except InvalidSchedule:
        return False


def parse_every(value: Any) -> int:
    """Return a period in whole milliseconds; texts need a unit unless they are digits."""
    why = ""
    try:
        if isinstance(value, bool) or value is None:
            raise TypeError
        if isinstance(value, str) and not value.strip().isdecimal():
            every = parse_duration(value) // timedelta(milliseconds=1)
        else:
            every = int(value)
    except InvalidSchedule as error:
        every, why = 0, error.what
    except (TypeError, ValueError, OverflowError):
        every = 0
    if not 0 < every <= CENTURY // timedelta(milliseconds=1):
        raise InvalidSchedule(
            f"Invalid --every. {_SPANS} Got {value!r}", why=why, fix="for example: 30m"
        )
    return every


def span_ms(value: Any, what: str) -> int:
    """Return milliseconds of a number (of ms) or a written duration: none to a century of them."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        told = value
    elif isinstance(value, str):
        told = parse_duration(value, default_unit="ms") // timedelta(milliseconds=1)
    else:
        raise InvalidSchedule(
            f"{what} was refused", why=f"{value!r} is not a duration", fix="for example: 30s"
        )
    if told > CENTURY // timedelta(milliseconds=1):
        raise InvalidSchedule(
            f"{what} was refused", why="it is longer than a century", fix="for example: 30s"
        )
    return told


def _distance(text: str) -> timedelta:
    return parse_duration(_FROM_NOW.sub("", text.strip()))


def _absolute(found: re.Match[str], text: str, tz: str | None) -> datetime:
    day, hour, minute, second, part, offset = found.groups()
    try:
        midnight = datetime.fromisoformat(day)
        whole_day = hour == "24" and int(minute or 0) == 0 and int(second or 0) == 0
        time = timedelta(days=1) if whole_day else _time_of_day(hour, minute, second, part)
        local = midnight + time
        if offset is not None:
            fixed = offset.upper().replace("Z", "+00:00")
            zoned = datetime.fromisoformat(local.isoformat() + fixed)
            return whole_ms(zoned.astimezone(UTC))
        return whole_ms(_in_zone(local, tz or "UTC"))
    except (ValueError, OverflowError):
        raise _unreadable(text) from None


def _time_of_day(
    hour: str | None, minute: str | None, second: str | None, part: str | None
) -> timedelta:
    h, m, s = int(hour or 0), int(minute or 0), int(second or 0)
    if h > 23 or m > 59 or s > 59:
        raise ValueError("not a time of day")
    micro = int((part or "0").ljust(6, "0"))
    return timedelta(hours=h, minutes=m, seconds=s, microseconds=micro)


def _in_zone(local: datetime, tz: str) -> datetime:
    """Map wall time to the instant; what comes twice is its first pass (cron.md §4.2 rule 8)."""
    where = zone(tz)
    first = local.replace(tzinfo=where, fold=0).astimezone(UTC)
    if first.astimezone(where).replace(tzinfo=None) == local:
        return first
    # PEP 495: in a gap fold=1 uses the offset after it, so it lands before the transition.
    before = local.replace(tzinfo=where, fold=1).astimezone(UTC)
    gap = segment(tz, (first - EPOCH) // timedelta(seconds=1))
    left, reached = (
        EPOCH + timedelta(seconds=gap.since + offset) for offset in (gap.before, gap.offset)
    )
    same_day = left.date() == reached.date()
    to = f"{reached:%H:%M}" if same_day else f"{reached:%Y-%m-%d %H:%M}"
    raise InvalidSchedule(
        f"{local.isoformat()} does not exist in {tz}: the clocks skip it",
        why=f"they go from {left:%Y-%m-%d %H:%M} to {to}",
        fix=f"use {before.astimezone(where).isoformat()} or {first.astimezone(where).isoformat()}",
    )


def _of_ms(raw: str, text: str) -> datetime:
    try:
        at = EPOCH + timedelta(milliseconds=int(raw))
    except (ValueError, OverflowError):  # more digits than an int is read of
        raise _unreadable(text) from None
    if at - EPOCH < _NO_INSTANT:
        seconds = len(raw) == _DIGITS_OF_SECONDS
        raise InvalidSchedule(
            f"{_BAD_AT} Got {text!r}",
            why="a bare number is milliseconds since 1970, and this one is an instant of that year",
            fix=f"in seconds since 1970 it is {raw}000"
            if seconds
            else f"an hour of the day: 2026-12-01T{_hour(raw)}; minutes from now: {int(raw)}m",
        )
    return at


def _hour(raw: str) -> str:
    return f"{int(raw):02}:00" if int(raw) < _HOURS else "09:00"


def _unreadable(text: str) -> InvalidSchedule:
    return InvalidSchedule(
        f"Invalid schedule.at: expected ISO-8601 timestamp (got {_short(text)!r})",
        fix="use an ISO timestamp like 2026-12-01T09:00:00Z or a duration like 20m",
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "…"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
