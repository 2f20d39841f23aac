"""Jobs of every kind, as many as wanted: what a year, or two weeks, of an engine is tried with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from engine.process import Ended
from jobs.policies import OVERLAPS

ZONES: Final = (
    "Europe/London", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe", "Asia/Kolkata",
    "America/Sao_Paulo", "Africa/Cairo", "Pacific/Auckland", "Asia/Tehran", "Europe/Berlin",
    "America/St_Johns", "Pacific/Apia", "America/Santiago", "Asia/Kathmandu", "Atlantic/Azores",
    "America/Los_Angeles", "Africa/Casablanca", "Asia/Jerusalem", "Pacific/Chatham", "UTC",
)  # fmt: skip
# Some fall into the hours that clocks skip or repeat.
_EXPRESSIONS: Final = (
    "0 7 * * 1-5", "30 1 * * *", "15 2 * * *", "30 2 * * SUN", "0 */6 * * *", "0 9 1,15 * *",
    "45 23 L * *", "0 12 * * MON#1", "10 8-18/2 * * 1-5", "0 0 13 * FRI", "5 3 29 2 *",
    "20 6 */3 * *",
)  # fmt: skip
_PERIODS: Final = ("6h", "7h", "1d", "90m", "2d", "35h", "12h", "1w")
CALENDARS: Final[dict[str, Any]] = {
    "holidays": {"exclude": ["2026-01-01", "2026-05-01", "2026-12-24..2026-12-31"]},
    "workdays": {"include": ["mon-fri"]},
}


def config(count: int, start: datetime, days: int) -> dict[str, Any]:
    """Return a config with so many jobs, to be simulated from ``start`` on for so many days."""
    jobs = {f"job-{n:03}": _job(n, start, days) for n in range(count)}
    return {
        "agents": {"defaults": {"heartbeat": {"every": "0m"}}},
        "cron": {"jobs": jobs, "calendars": CALENDARS, "maxConcurrentRuns": 8},
    }


def commands(argv: Sequence[str]) -> str | Ended:
    """Answer for commands and gates: `no` says no, `fail` fails."""
    code = {"no": 1, "fail": 2}.get(argv[0], 0)
    return Ended(code=code, out=" ".join(argv).encode(), err=b"")


def _job(n: int, start: datetime, days: int) -> dict[str, Any]:
    return {**_when(n, start, days), **_what(n), **_how(n, start, days)}


def _when(n: int, start: datetime, days: int) -> dict[str, Any]:
    if n % 10 == 9:  # spread over the time
        at = start + timedelta(days=days) * (n % 97 + 1) / 99
        return {"schedule": f"at {at:%Y-%m-%dT%H:%M:%SZ}", "deleteAfterRun": False}
    if n % 4 == 3:
        return {"schedule": f"every {_PERIODS[n // 4 % len(_PERIODS)]}"}
    zone = ZONES[n * 7 % len(ZONES)]
    return {"schedule": _EXPRESSIONS[n % len(_EXPRESSIONS)], "tz": zone}


def _what(n: int) -> dict[str, Any]:
    match n % 5:
        case 0:
            return {"command": ["report", str(n)], "deliver": "local:inbox"}
        case 1:
            return {"command": ["fail" if n % 35 == 1 else "check", str(n)], "deliver": "none"}
        case 2:
            return {"message": f"What is new since report {n}?", "deliver": "none"}
        case _:
            return {"message": f"Report {n}", "deliver": "local:inbox"}


def _how(n: int, start: datetime, days: int) -> dict[str, Any]:
    """Return what a job asks of its scheduler: one thing each, and for most of them nothing."""
    if n % 10 == 9:
        return {"gate": {"command": ["yes"]}} if n % 20 == 9 else {}
    half = start + timedelta(days=days / 2)
    asked: tuple[dict[str, Any], ...] = (
        {"overlap": OVERLAPS[n % len(OVERLAPS)], "timeoutSeconds": 0},
        {"calendars": {"names": ["holidays"]}},
        {"calendars": {"names": ["workdays", "holidays"], "onExcluded": "next-allowed"}},
        {"gate": {"command": ["no" if n % 2 else "yes"]}},
        {"jitterMs": 600_000},
        {"misfire": {"policy": ("run-all", "skip", "run-once")[n % 3]}},
        {"maxRunsPerDay": 2},
        {"maxRuns": days // 4 + 1},
        {"until": f"{half:%Y-%m-%dT%H:%M:%SZ}"},
        {"failureAlert": {"after": 2, "channel": "local", "to": "inbox"}},
        {"expectWithin": "3d"},
    )
    kind = n // 2 % 22
    return asked[kind] if kind < len(asked) else {}
