"""Guessing is counted, slowed, and ended; nobody else is harmed by it (protocol.md §4.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.auth.failures import Failures
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy
from gateway.protocol.handshake import Connect, Granted, Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEAR = Peer(host="127.0.0.1", headers={"host": "localhost"})
FAR = Peer(host="203.0.113.9", headers={"host": "gateway.example"})
POLICY = Policy(mode=Mode.TOKEN, token="right")


def connect(**auth: str) -> Connect:
    return Connect.model_validate(
        {
            "minProtocol": 4,
            "maxProtocol": 4,
            "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"},
            "auth": auth,
        }
    )


def refused(keeper: Gatekeeper, peer: Peer = FAR, now: datetime = NOW, **auth: str) -> Refused:
    verdict = keeper.judge(connect(**(auth or {"token": "wrong"})), "n", now, peer)
    assert isinstance(verdict, Refused)
    return verdict


def test_the_window_slides() -> None:
    failures = Failures(POLICY)
    for second in range(9):
        failures.add("a", NOW + timedelta(seconds=second))
    assert not failures.add("a", NOW + timedelta(seconds=61))
    assert failures.locked("a", NOW + timedelta(seconds=61)) is None
    later = NOW + timedelta(seconds=62)
    assert [failures.add("a", later) for _ in range(3)].count(True) == 1
    assert failures.locked("a", later) is not None


def test_the_lockout_is_told_once_and_ends() -> None:
    keeper = Gatekeeper(POLICY)
    notes = [refused(keeper).note for _ in range(12)]
    assert [note is not None for note in notes].index(True) == 9
    assert sum(note is not None for note in notes) == 1
    error = refused(keeper).error
    assert error.details["code"] == "AUTH_RATE_LIMITED"
    assert error.details["recommendedNextStep"] == "wait_then_retry"
    assert error.to_wire()["retryable"] is True
    assert error.retry_after_ms == 300_000
    ended = NOW + timedelta(seconds=300)
    assert isinstance(keeper.judge(connect(token="right"), "n", ended, FAR), Granted)


def test_what_is_missing_is_no_guess() -> None:
    keeper = Gatekeeper(POLICY)
    for _ in range(20):
        assert refused(keeper, password="x").error.details["code"] == "AUTH_TOKEN_MISSING"


def test_on_this_machine_guesses_are_answered_later_and_later_but_never_locked_out() -> None:
    keeper = Gatekeeper(POLICY)
    delays = [refused(keeper, NEAR).delay / timedelta(seconds=1) for _ in range(12)]
    assert delays[:7] == [0, 0.25, 0.5, 1, 2, 4, 5]
    assert max(delays) == 5
    assert isinstance(keeper.judge(connect(token="right"), "n", NOW, NEAR), Granted)
    assert refused(keeper, NEAR).delay == timedelta()


def test_a_page_in_a_browser_of_this_machine_is_not_exempt() -> None:
    page = Peer(host="127.0.0.1", headers={**NEAR.headers, "origin": "http://localhost:1"})
    other = Peer(host="127.0.0.1", headers={**NEAR.headers, "origin": "http://localhost:2"})
    keeper = Gatekeeper(POLICY)
    assert [refused(keeper, page) for _ in range(11)][-1].error.retry_after_ms
    assert refused(keeper, other).error.details["code"] == "AUTH_TOKEN_MISMATCH"


def test_kinds_of_credentials_are_counted_apart() -> None:
    keeper = Gatekeeper(Policy(mode=Mode.PASSWORD, password="right"))
    for _ in range(11):
        refused(keeper, password="wrong")
    assert refused(keeper, password="wrong").error.details["code"] == "AUTH_RATE_LIMITED"
    assert refused(keeper, deviceToken="x").error.details["code"] != "AUTH_RATE_LIMITED"


def test_a_full_table_locks_newcomers_until_old_entries_lapse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Failures, "MAX_KEYS", 3)
    failures = Failures(POLICY)
    for name in "abc":
        failures.add(name, NOW)
    assert failures.locked("d", NOW) == POLICY.window
    assert failures.locked("a", NOW) is None
    assert failures.locked("d", NOW + POLICY.window) is None
