"""QQ's numbers and the one taxonomy: every code of channels.md §10."""

from __future__ import annotations

import pytest

from engine.messages.fault import FaultClass
from gateway.channels.qq.faults import classify, code_of, stale_token

CODES = {
    "auth": (100016, 11244),
    "blocked": (40054013, 304031),
    "cannot-initiate": (40054004,),
    "not-member": (40034101, 40054003),
    "muted": (40054002,),
    "format": (304036, 40034127, 40034009, 40034010, 40034011, 40034124),
    "too-long": (40054007, 40054018),
    "rate-limited": (40034100, 100001),
    "quota-exhausted": (22009, 304045, 304049, 304050),
    "proactive-denied": (40034102, 40034105, 304046, 304048),
    "window-expired": (
        *(304026, 304027, 304028, 304103, 40034005, 40034024, 40034025, 40034026),
        *(40034027, 40034128),
    ),
    "duplicate": (40054005,),
    "content-rejected": (40034006, 40054010, 304003, 304025),
    "offline": (304018, 40054016),
    "server": (50055001, 50055002, 50055006, 40034004, 40054006),
}


@pytest.mark.parametrize(("name", "code"), [(n, c) for n, codes in CODES.items() for c in codes])
def test_a_code_is_its_class_even_on_a_success(name: str, code: int) -> None:
    for status in (200, 400, 500):
        fault = classify(status, {"code": code, "message": "m", "trace_id": "t"})
        assert (fault.fault, fault.code) == (FaultClass(name), str(code))
        assert fault.detail == "m (trace t)"


def test_the_finer_number_counts_and_may_be_text() -> None:
    assert code_of({"code": 11255, "err_code": 40034105}) == 40034105
    assert code_of({"code": "40054005"}) == 40054005
    assert code_of({"code": 0, "err_code": 0}) == 0
    assert code_of({"code": True}) == code_of(None) == 0


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"code": 123456789}, FaultClass.UNKNOWN_ERROR),
        (200, {"code": 123456789}, FaultClass.UNKNOWN_ERROR),
        (400, {}, FaultClass.UNKNOWN_ERROR),
        (401, None, FaultClass.AUTH),
        (404, None, FaultClass.NOT_FOUND),
        (429, None, FaultClass.RATE_LIMITED),
        (502, None, FaultClass.SERVER),
        (200, None, FaultClass.NETWORK_AMBIGUOUS),
    ],
)
def test_an_unlisted_code_is_not_guessed(
    status: int, body: dict[str, object] | None, kind: FaultClass
) -> None:
    assert classify(status, body).fault is kind


def test_a_refused_link_is_told_apart() -> None:
    assert classify(400, {"code": 40054010}).links_refused
    assert not classify(400, {"code": 40034006}).links_refused


def test_a_stale_token_is_told_apart_by_status_or_code() -> None:
    assert stale_token(401, None)
    assert stale_token(500, {"code": 11244})
    assert not stale_token(400, {"code": 100016})


@pytest.mark.parametrize(("header", "seconds"), [("3", 3), ("-1", 0), ("x", None), ("nan", None)])
def test_a_wait_is_heard_if_it_can_be_waited(header: str, seconds: float | None) -> None:
    fault = classify(429, {"code": 40034100}, retry_after=header)
    assert fault.retry_after_seconds == seconds
