"""When a gateway starts anew, what clients are told of it, and who hears that it is over."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway import sentinel
from gateway.restarts import USUAL, Appointment, Kind, Restarts, Wanted, appointed, expected
from gateway.sentinel import Sentinel

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
S = timedelta(seconds=1)
ASKED = Wanted(reason="new port", by="cli", session_key="agent:main:main", note="thanks")


@pytest.mark.parametrize(
    ("delay", "last", "pending", "at", "coalesced"),
    [
        (0 * S, None, None, 0 * S, False),
        (5 * S, None, None, 5 * S, False),
        (0 * S, -31 * S, None, 0 * S, False),
        (0 * S, -10 * S, None, 20 * S, True),  # within the cooldown
        (25 * S, -10 * S, None, 25 * S, False),
        (0 * S, None, 7 * S, 7 * S, True),  # joins the one that waits
    ],
)
def test_requests_within_the_cooldown_are_one_restart(
    delay: timedelta,
    last: timedelta | None,
    pending: timedelta | None,
    at: timedelta,
    coalesced: bool,
) -> None:
    made = appointed(
        NOW,
        delay=delay,
        last=None if last is None else NOW + last,
        pending=None if pending is None else NOW + pending,
    )
    assert made == Appointment(NOW + at, coalesced)


@pytest.mark.parametrize(
    ("took", "told"),
    [([], USUAL), ([2 * S], 2 * S), ([9 * S, 1 * S, 2 * S, 3 * S, 4 * S, 5 * S], 3 * S)],
)
def test_clients_are_told_the_median_of_the_last_five(
    took: list[timedelta], told: timedelta
) -> None:
    assert expected(took) == told


def test_a_restart_is_measured_from_its_shutdown_to_the_next_ready() -> None:
    restarts = Restarts()
    assert restarts.back(1 * S) is None, "a first start is none"
    restarts.ask(ASKED, NOW)
    restarts.begin(NOW, 10 * S)
    assert restarts.back(12 * S) == 2 * S
    assert restarts.took == [2 * S]
    assert restarts.back(20 * S) is None


def test_of_two_who_ask_the_one_who_wants_to_be_told_is_remembered() -> None:
    restarts = Restarts()
    restarts.ask(Wanted(reason="anonymous"), NOW)
    restarts.ask(ASKED, NOW)
    restarts.ask(Wanted(reason="late", session_key="agent:ops:main"), NOW)
    assert restarts.wanted is ASKED


def test_who_asked_is_kept_across_the_restart_and_told_once(tmp_path: Path) -> None:
    sentinel.write(tmp_path, Sentinel.of(ASKED, NOW))
    file = tmp_path / sentinel.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["payload"] == {
        "kind": "restart",
        "status": "ok",
        "ts": 1_772_366_400_000,
        "stats": {"reason": "new port"},
        "sessionKey": "agent:main:main",
        "message": "thanks",
    }
    assert sentinel.read(tmp_path) == Sentinel.of(ASKED, NOW)
    sentinel.forget(tmp_path)
    assert sentinel.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "payload": 1}'])
def test_a_sentinel_nobody_can_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / sentinel.FILE).write_text(text)
    assert sentinel.read(tmp_path) is None


def test_the_requester_reads_how_long_it_took_and_what_it_was_for() -> None:
    applied = Sentinel(kind=Kind.CONFIG_APPLY, at=NOW, reason="gateway.port")
    assert sentinel.words(applied, 1.4 * S) == (
        "Gateway back after 1.4 s; config applied: gateway.port"
    )
    assert sentinel.words(Sentinel.of(ASKED, NOW), None) == (
        "Gateway back; restarted as asked: new port (thanks)"
    )
