"""A phrase as it is understood in Shanghai, and in few letters."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from jobs.duration import format_duration
from jobs.schedule import At, Cron, Dayparts, Every, schedule_from_json
from jobs.spoken import Spoken, understand

ZONE = "Asia/Shanghai"
NOW = datetime(2026, 5, 5, 4, tzinfo=UTC)  # Tuesday noon in Shanghai


def heard(text: str) -> Spoken:
    return understand(text, now=NOW, tz=ZONE)


def short(spoken: Spoken) -> str:
    """The schedule that was understood, in few letters and local time."""
    schedule = schedule_from_json(spoken.schedule, default_tz="UTC", job_id=None, now=NOW)
    match schedule:
        case At(at):
            return f"at {at.astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M}"
        case Every(period, anchor):
            since = f" from {anchor.astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M}"
            return f"every {format_duration(period)}{since if anchor != NOW else ''}"
        case Cron(expr, tz):
            assert tz == ZONE
            return expr
        case Dayparts():
            raise AssertionError("nobody says that")
