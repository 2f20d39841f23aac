"""One slot of a schedule, and the wall time that was meant by it. A value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Final

from jobs.wallclock import DAY

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
        return None if self.nominal is None else _wall_time(self.nominal)


@lru_cache(maxsize=64)  # jobs that are due together mean few wall times
def _wall_time(second: int) -> str:
    days, second = divmod(second, DAY)
    hour, rest = divmod(second, 3600)
    day = date.fromordinal(days + _EPOCH_ORDINAL)
    return f"{day.isoformat()}T{hour:02}:{rest // 60:02}:{rest % 60:02}"
