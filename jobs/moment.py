"""An instant as people name it, past or to come: `-2h`, `yesterday 09:00`, `13:30`.

What `jobs.written.parse_at` reads is read as there: ISO 8601, epoch milliseconds, `in 20m`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from jobs.duration import parse_duration
from jobs.errors import InvalidInput, InvalidSchedule
from jobs.wallclock import zone
from jobs.written import parse_at, whole_ms

_DAYS: Final = {"yesterday": -1, "today": 0, "tomorrow": 1}
_ON_A_DAY: Final = re.compile(
    r"(?:(yesterday|today|tomorrow)(?:\s+(?:at\s+)?|$))?(\d{1,2}:\d{2}(?::\d{2})?)?"
)
_AGO: Final = re.compile(r"-\s*(\S.*)|(.*\S)\s+ago")


def parse_moment(text: str, *, now: datetime, tz: str) -> datetime:
    """Return the instant meant; wall time is that of ``tz``.

    Raises `InvalidInput` for what cannot be read, and for a wall time the clocks skip.
    """
    raw = " ".join(text.split()).lower()
    if raw == "now":
        return whole_ms(now)
    try:
        if (ago := _AGO.fullmatch(raw)) is not None:
            return whole_ms(now - parse_duration(ago[1] or ago[2]))
        if raw and (named := _ON_A_DAY.fullmatch(raw)) is not None:
            return _on_a_day(named[1], named[2], now, tz)
        return parse_at(text, now=now, tz=tz)
    except (InvalidSchedule, OverflowError) as error:
        why = (
            error.what
            if isinstance(error, InvalidSchedule) and "does not exist" in error.what
            else ""
        )
        raise InvalidInput(
            f"{text!r} was not understood as an instant",
            why=why,
            fix='write it like "-2h", "yesterday 09:00", "13:30" or 2026-11-20T09:00',
        ) from error


def _on_a_day(day: str | None, time: str | None, now: datetime, tz: str) -> datetime:
    """Wall time on a day near today; without a time of day, the one it is now."""
    local = now.astimezone(zone(tz))
    date = (local + timedelta(days=_DAYS[day or "today"])).date()
    clock = f"{time:0>8}" if time and time.count(":") == 2 else f"{time:0>5}" if time else ""
    return parse_at(f"{date}T{clock or f'{local:%H:%M:%S}'}", now=now, tz=tz)
