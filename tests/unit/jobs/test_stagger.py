"""Who is spread over the hour, and by how much (cron.md §2.1)."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from jobs import stagger

FIVE = timedelta(minutes=5)
NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "expr", ["0 * * * *", "0 */2 * * *", "0 *,5 * * *", "0 5,* * * *", "0 0 * * * *", "0 ? * * *"]
)
def test_recurring_top_of_hour_expressions_are_spread(expr: str) -> None:
    assert stagger.default_window(expr) == FIVE


@pytest.mark.parametrize(
    "expr",
    ["*/15 * * * *", "0,30 * * * *", "0 9 * * *", "0 5* * * *", "30 0 * * * *", "5 * * * *",
     "0 */x * * *", "0 *, * * *", "@hourly", ""],
)  # fmt: skip
def test_others_are_exact(expr: str) -> None:
    assert stagger.default_window(expr) == timedelta()


def test_a_job_keeps_its_place_in_the_window() -> None:
    digest = hashlib.sha256(b"job-1").digest()
    expected = int.from_bytes(digest[:4], "big") % 300_000
    assert stagger.offset("job-1", FIVE) == timedelta(milliseconds=expected)


@pytest.mark.parametrize("window", [timedelta(), timedelta(milliseconds=1)])
def test_no_window_no_shift(window: timedelta) -> None:
    assert stagger.offset("job-1", window) == timedelta()


def test_jobs_are_spread_over_the_whole_window() -> None:
    places = [stagger.offset(f"job-{n}", FIVE) for n in range(200)]
    assert max(places) < FIVE
    assert len({place // timedelta(minutes=1) for place in places}) == 5


def test_jitter_is_by_chance_per_slot_and_the_same_again() -> None:
    slots = [NOON + timedelta(hours=n) for n in range(100)]
    late = [stagger.jitter("job-1", slot, FIVE, slot + timedelta(hours=1)) for slot in slots]
    assert late == [
        stagger.jitter("job-1", slot, FIVE, slot + timedelta(hours=1)) for slot in slots
    ]
    assert len(set(late)) > 90
    assert timedelta() <= min(late)
    assert max(late) < FIVE


def test_jitter_never_reaches_the_next_slot() -> None:
    slots = [NOON + timedelta(seconds=2 * n) for n in range(100)]
    following = timedelta(seconds=2)
    assert max(stagger.jitter("j", slot, FIVE, slot + following) for slot in slots) < following
    assert stagger.jitter("j", NOON, FIVE, NOON + timedelta(seconds=1)) == timedelta()
    assert stagger.jitter("j", NOON, FIVE, None) < FIVE
