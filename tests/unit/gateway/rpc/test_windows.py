"""How often the config may be written (protocol.md §6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.rpc.windows import MOST_KEYS, Windows

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(seconds=60)


def test_the_window_begins_with_the_first_write_and_is_fixed() -> None:
    windows = Windows()
    for second in (0, 20, 40):
        at = NOW + timedelta(seconds=second)
        assert windows.take("a", at, most=3, window=MINUTE) is None
    late = NOW + timedelta(seconds=50)
    assert windows.take("a", late, most=3, window=MINUTE) == timedelta(seconds=10)
    assert windows.take("b", late, most=3, window=MINUTE) is None
    assert windows.take("a", NOW + MINUTE, most=3, window=MINUTE) is None


def test_a_clock_set_back_locks_nobody_out() -> None:
    windows = Windows()
    windows.take("a", NOW, most=1, window=MINUTE)
    assert windows.take("a", NOW - timedelta(hours=1), most=1, window=MINUTE) is None


def test_strangers_do_not_fill_the_memory() -> None:
    windows = Windows()
    for number in range(MOST_KEYS + 50):
        assert windows.take(str(number), NOW, most=1, window=MINUTE) is None
    assert len(windows) <= MOST_KEYS
