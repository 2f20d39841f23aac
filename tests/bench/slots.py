"""Next slot: how long it takes to find it, for twenty usual expressions with zones."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tests.bench.common import Measured, probe

EXPRESSIONS = (
    ("* * * * *", "UTC"),
    ("*/5 * * * *", "Europe/Berlin"),
    ("*/15 9-17 * * 1-5", "America/New_York"),
    ("0 * * * *", "Asia/Kolkata"),
    ("30 * * * *", "Australia/Sydney"),
    ("0 9 * * *", "Asia/Shanghai"),
    ("0 9 * * 1-5", "Europe/London"),
    ("30 8 * * MON", "America/Los_Angeles"),
    ("0 0 * * *", "America/Sao_Paulo"),
    ("0 2 * * *", "Europe/Paris"),
    ("30 1 * * SUN", "America/Chicago"),
    ("0 0 1 * *", "Asia/Tokyo"),
    ("0 12 1,15 * *", "Europe/Madrid"),
    ("0 6 * * 6,0", "Africa/Cairo"),
    ("15 10 * 1-6 *", "Europe/Rome"),
    ("0 */4 * * *", "Pacific/Auckland"),
    ("5,35 7-22 * * *", "Asia/Singapore"),
    ("0 18 * * FRI", "America/Toronto"),
    ("45 23 28-31 * *", "Europe/Zurich"),
    ("0 0 1 1 *", "UTC"),
)
START = datetime(2026, 3, 1, tzinfo=UTC)
STEPS = 400


def measure() -> list[Measured]:
    """Compare the mean over the expressions, each parsed once and stepped through."""
    ours = probe("slots", "ours")["mean"]
    peers = {"croniter": probe("slots", "croniter")["mean"]}
    if importlib.util.find_spec("cronsim"):
        peers["cronsim"] = probe("slots", "cronsim")["mean"]
    best = min(peers.values())
    return [
        Measured(
            work=f"next slot, mean of {len(EXPRESSIONS)} expressions",
            measured=f"{ours:.1f} us",
            goal="<= 10 us",
            peer=", ".join(f"{value:.1f} us ({name})" for name, value in peers.items()),
            ratio=f"{best / ours:.0f} x",
            ok=ours <= 10,
            figures={"mean_us": ours, **{f"{name}_us": value for name, value in peers.items()}},
        )
    ]


def _ours(expr: str, zone: str) -> Callable[[], object]:
    from jobs.schedule import Cron

    schedule, at = Cron(expr, zone), START

    def step() -> None:
        nonlocal at
        found = schedule.next_after(at)
        assert found is not None
        at = found

    return step


def _croniter(expr: str, zone: str) -> Callable[[], object]:
    from croniter import croniter

    found = croniter(expr, START.astimezone(ZoneInfo(zone)), ret_type=datetime)
    return lambda: found.get_next()


def _cronsim(expr: str, zone: str) -> Callable[[], object]:
    cronsim = importlib.import_module("cronsim")
    found = cronsim.CronSim(expr, START.astimezone(ZoneInfo(zone)))
    return lambda: next(found)


def mean(make: Callable[[str, str], Callable[[], object]], steps: int) -> float:
    """Return microseconds a step, the mean of the expressions' means."""
    total = 0.0
    for expr, zone in EXPRESSIONS:
        step = make(expr, zone)
        step()
        began = time.perf_counter()
        for _ in range(steps):
            step()
        total += (time.perf_counter() - began) / steps
    return 1e6 * total / len(EXPRESSIONS)


PROBES = {"ours": (_ours, STEPS), "croniter": (_croniter, 40), "cronsim": (_cronsim, 40)}

if __name__ == "__main__":
    print(json.dumps({"mean": mean(*PROBES[sys.argv[1]])}))
