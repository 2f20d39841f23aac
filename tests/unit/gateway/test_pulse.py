"""How late the loop is, as a supervisor is told."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

import pytest

from engine.testing import ManualClock
from gateway.app.pulse import Pulse, p99

MS = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("late", "told"),
    [
        ([], 0 * MS),
        ([5 * MS], 5 * MS),
        ([1 * MS] * 99 + [900 * MS], 900 * MS),
        ([1 * MS] * 199 + [900 * MS], 1 * MS),
    ],
)
def test_one_of_a_hundred_beats_may_be_late(late: list[timedelta], told: timedelta) -> None:
    assert p99(deque(late)) == told


def test_a_loop_that_was_never_measured_is_not_degraded() -> None:
    assert Pulse(ManualClock(datetime(2026, 3, 1, tzinfo=UTC))).told() == {
        "delayP99Ms": 0,
        "degraded": False,
    }
