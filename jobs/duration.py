"""Durations as people write them: `30m`, `1h30m`, `PT20M` (cron.md §5, heartbeat.md §2.1)."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Final

from jobs.errors import InvalidSchedule

_UNITS: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86_400),
    "w": Decimal(604_800),
}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_ISO: Final = re.compile(
    r"P(?:(?P<w>\d+(?:\.\d+)?)W)?(?:(?P<d>\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
_MOST: Final = Decimal(86_400) * 366 * 1000


def parse_rate(text: str) -> timedelta:
    """Return how far apart things are at a rate: ``10/1m`` is ten a minute, one in 6 s.

    Raises `InvalidSchedule` for what is no number of things in a span.
    """
    count, stroke, span = text.partition("/")
    if not stroke or not count.strip().isdecimal() or not int(count):
        raise InvalidSchedule(
            f'rate "{text}" was refused', why="it is no N/SPAN", fix="write 10/1m, or 1/30s"
        )
    span = span.strip()
    every = parse_duration(span if span[:1].isdigit() else f"1{span}")
    return every / int(count)


def parse_duration(
    text: str, *, default_unit: str | None = None, narrow: bool = False
) -> timedelta:
    """Return the duration; a bare number needs ``default_unit``.

    ``narrow`` is the heartbeat's set: no weeks, no spaces, no ISO 8601. Raises
    `InvalidSchedule` with the reason and examples.
    """
    raw = text.strip()
    if narrow and raw != text:
        raise _invalid(text, "spaces are not allowed")
    if not raw:
        raise _invalid(text, "empty")
    if raw[0] in "+-":
        raise _invalid(text, "a duration has no sign")
    if _NUMBER.fullmatch(raw):
        if default_unit is None:
            raise _invalid(text, "a bare number has no unit")
        return _timedelta(Decimal(raw) * _UNITS[default_unit], text)
    if raw[0] in "pP":
        if narrow:
            raise _invalid(text, "unknown form")
        return _iso(raw, text)
    return _sum(raw if narrow else re.sub(r"\s+", "", raw), text, narrow=narrow)


def _sum(raw: str, text: str, *, narrow: bool) -> timedelta:
    total, end = Decimal(0), 0
    for part in _PART.finditer(raw):
        if part.start() != end:
            break
        unit = part[2].lower()
        if narrow and unit == "w":
            raise _invalid(text, "weeks are not known here")
        total += Decimal(part[1]) * _UNITS[unit]
        end = part.end()
    if end != len(raw):
        raise _invalid(text, f"cannot read {raw[end:]!r}")
    return _timedelta(total, text)


def _iso(raw: str, text: str) -> timedelta:
    date = raw.upper().partition("T")[0]
    if "Y" in date or "M" in date:
        raise _invalid(text, "months and years have no fixed length")
    found = _ISO.fullmatch(raw)
    parts = {} if found is None else {k: v for k, v in found.groupdict().items() if v}
    if not parts or raw.upper().endswith("T"):
        raise _invalid(text, "not an ISO 8601 duration")
    return _timedelta(sum((Decimal(v) * _UNITS[k] for k, v in parts.items()), Decimal(0)), text)


def _timedelta(seconds: Decimal, text: str) -> timedelta:
    if seconds > _MOST:
        raise _invalid(text, "too long")
    return timedelta(milliseconds=int(seconds * 1000))


def _invalid(text: str, reason: str) -> InvalidSchedule:
    return InvalidSchedule(
        f'Invalid duration ({reason}): "{text}"',
        fix="use values like 500ms, 30s, 5m, 2h, or 1h30m",
    )


def format_duration(value: timedelta) -> str:
    """Return the shortest exact form: `1h30m`, `45s`, `250ms`, `0s`."""
    left = value // timedelta(milliseconds=1)
    if left < 0:
        return "-" + format_duration(-value)
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
