"""The life of one message: what follows what (channels.md §10, §11)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.fault import Fault, FaultClass
from engine.messages.outbox import (
    MOVES,
    TERMINAL,
    Again,
    End,
    Event,
    IllegalMove,
    Mend,
    after,
    backoff,
    effective_route,
    expiry,
    next_step,
    overdue,
    receipt,
    recover,
)
from engine.messages.route import found_words, webhook_route
from engine.talk.outbox_desk import words_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DM = Route(channel="telegram", account_id="default", to="42")
TOPIC = replace(DM, to="-100", thread_id="7")
PING = Delivery(
    key="heartbeat:r1:0",
    route=DM,
    text="hello",
    kind="heartbeat",
    created_at=NOON,
    expires_at=NOON + timedelta(hours=1),
    state=State.SENDING,
    chunks=("hello",),
    attempts=1,
)
ENDS = {
    FaultClass.BLOCKED: Event.REJECTED,
    FaultClass.CANNOT_INITIATE: Event.REJECTED,
    FaultClass.NOT_MEMBER: Event.REJECTED,
    FaultClass.MUTED: Event.REJECTED,
    FaultClass.NOT_FOUND: Event.REJECTED,
    FaultClass.QUOTA_EXHAUSTED: Event.REJECTED,
    FaultClass.PROACTIVE_DENIED: Event.REJECTED,
    FaultClass.ADDRESS_REFUSED: Event.REJECTED,
    FaultClass.CONTENT_REJECTED: Event.REJECTED,
    FaultClass.MEDIA_REFUSED: Event.REJECTED,
    FaultClass.UNKNOWN_ERROR: Event.REJECTED,
    FaultClass.DUPLICATE: Event.ACCEPTED,
    FaultClass.NETWORK_AMBIGUOUS: Event.LOST_SIGHT,
}
AGAIN = {
    FaultClass.AUTH,
    FaultClass.RATE_LIMITED,
    FaultClass.OFFLINE,
    FaultClass.SERVER,
    FaultClass.NETWORK_PRESEND,
    FaultClass.CONFLICT,
}
MENDED = {
    FaultClass.FORMAT: Mend.PLAIN,
    FaultClass.THREAD_GONE: Mend.NO_THREAD,
    FaultClass.MIGRATED: Mend.NEW_PEER,
    FaultClass.TOO_LONG: Mend.SMALLER,
}


def step_after(fault: FaultClass, delivery: Delivery = PING, *, idempotent: bool = False) -> object:
    asked = Fault(fault=fault, migrate_to="-200" if fault is FaultClass.MIGRATED else None)
    return next_step(delivery, asked, NOON, idempotent=idempotent)


def test_every_fault_has_a_consequence() -> None:
    assert set(ENDS) | AGAIN | set(MENDED) | {FaultClass.WINDOW_EXPIRED} == set(FaultClass)
    assert all(fault.hint for fault in FaultClass)


@pytest.mark.parametrize(("fault", "event"), ENDS.items())
def test_a_permanent_fault_ends_the_delivery(fault: FaultClass, event: Event) -> None:
    step = step_after(fault)
    assert isinstance(step, End)
    assert step.event is event
    assert step.spoils_route is fault.spoils_route


@pytest.mark.parametrize("fault", sorted(AGAIN))
def test_a_transient_fault_is_tried_again_later(fault: FaultClass) -> None:
    step = step_after(fault)
    assert isinstance(step, Again)
    assert NOON < step.at <= PING.expires_at
    assert step.mend is None


@pytest.mark.parametrize(("fault", "mend"), MENDED.items())
def test_what_can_be_mended_is_mended_once(fault: FaultClass, mend: Mend) -> None:
    in_topic = replace(PING, route=TOPIC)
    first = step_after(fault, in_topic)
    assert isinstance(first, Again)
    assert (first.at, first.mend) == (NOON, mend)
    second = step_after(fault, replace(in_topic, notes=first.notes))
    assert isinstance(second, End)
    assert second.event is Event.REJECTED


ANSWER = {"replyTo": "m1", "replySeq": 2}


def test_a_window_that_is_over_is_left_once() -> None:
    first = step_after(FaultClass.WINDOW_EXPIRED, replace(PING, notes=ANSWER))
    assert isinstance(first, Again)
    assert (first.at, first.notes) == (NOON, {"windowExpired": True})
    second = step_after(FaultClass.WINDOW_EXPIRED, replace(PING, notes=first.notes))
    assert second == End(event=Event.REJECTED, reason="window-expired")


def test_an_answer_that_may_have_arrived_keeps_its_number_and_a_repeat_says_so() -> None:
    lost = step_after(FaultClass.NETWORK_AMBIGUOUS, replace(PING, notes=ANSWER), idempotent=True)
    assert isinstance(lost, Again)
    again = replace(PING, notes=lost.notes)
    assert (again.notes["replyTo"], again.notes["replySeq"]) == ("m1", 2)
    assert step_after(FaultClass.DUPLICATE, again) == End(event=Event.ACCEPTED, reason="")
    late = step_after(FaultClass.WINDOW_EXPIRED, again)
    assert late == End(event=Event.LOST_SIGHT, reason="window-expired")


def test_a_number_somebody_else_used_is_exchanged_once() -> None:
    clash = step_after(FaultClass.DUPLICATE, replace(PING, notes=ANSWER))
    assert isinstance(clash, Again)
    assert "replySeq" not in clash.notes
    other = replace(PING, notes={**clash.notes, **ANSWER})
    assert step_after(FaultClass.DUPLICATE, other) == End(event=Event.REJECTED, reason="duplicate")


def test_what_a_peer_takes_only_as_an_answer_waits_where_it_may() -> None:
    fault = Fault(fault=FaultClass.PROACTIVE_DENIED)
    step = next_step(PING, fault, NOON, idempotent=False, holds=True)
    assert step == End(event=Event.HOLD, reason="awaiting-contact")


def test_links_a_platform_refuses_are_taken_out_once() -> None:
    fault = Fault(fault=FaultClass.CONTENT_REJECTED, links_refused=True)
    first = next_step(PING, fault, NOON, idempotent=False)
    assert isinstance(first, Again)
    assert first.mend is Mend.NO_LINKS
    second = next_step(replace(PING, notes=first.notes), fault, NOON, idempotent=False)
    assert second == End(event=Event.REJECTED, reason="content-rejected")


def test_a_thread_that_was_never_named_cannot_be_left_out() -> None:
    assert isinstance(step_after(FaultClass.THREAD_GONE), End)


def test_an_ambiguous_answer_is_repeated_only_where_a_key_makes_it_harmless() -> None:
    assert isinstance(step_after(FaultClass.NETWORK_AMBIGUOUS, idempotent=True), Again)
    assert isinstance(step_after(FaultClass.NETWORK_AMBIGUOUS, idempotent=False), End)


def test_the_platforms_own_later_is_obeyed_and_not_counted() -> None:
    fault = Fault(fault=FaultClass.RATE_LIMITED, retry_after_seconds=3)
    step = next_step(PING, fault, NOON, idempotent=False)
    assert isinstance(step, Again)
    assert step.at == NOON + timedelta(seconds=3)
    assert "failures" not in step.notes


def test_the_fourth_later_counts_as_a_failure() -> None:
    worn = replace(PING, notes={"rateLimited": 3})
    fault = Fault(fault=FaultClass.RATE_LIMITED, retry_after_seconds=3)
    step = next_step(worn, fault, NOON, idempotent=False)
    assert isinstance(step, Again)
    assert step.notes["failures"] == 1


def test_a_wait_never_reaches_beyond_the_expiry() -> None:
    fault = Fault(fault=FaultClass.RATE_LIMITED, retry_after_seconds=86_400)
    step = next_step(PING, fault, NOON, idempotent=False)
    assert isinstance(step, Again)
    assert step.at == PING.expires_at


def test_backoff_follows_the_table_within_its_jitter() -> None:
    table = (0.4, 0.8, 5, 25, 120, 600, 600, 600)
    for failures, seconds in enumerate(table, start=1):
        wait = backoff("k", failures).total_seconds()
        assert seconds * 0.9 <= wait <= seconds * 1.1
    assert backoff("k", 3) == backoff("k", 3)
    assert backoff("k", 3) != backoff("l", 3)


@pytest.mark.parametrize(
    ("kind", "every", "hours"),
    [
        ("reply", None, 1),
        ("cron", None, 24),
        ("heartbeat", timedelta(minutes=30), 0.5),
        ("heartbeat", timedelta(hours=12), 6),
        ("something", None, 24),
    ],
)
def test_a_message_is_worth_sending_for_so_long(
    kind: str, every: timedelta | None, hours: float
) -> None:
    assert expiry(kind, NOON, every=every) == NOON + timedelta(hours=hours)


def test_its_time_is_over_at_the_instant_of_expiry() -> None:
    assert overdue(PING, PING.expires_at)
    assert not overdue(PING, PING.expires_at - timedelta(milliseconds=1))


def test_after_a_crash_only_what_is_idempotent_is_sent_again() -> None:
    assert recover(PING, NOON, idempotent=True) == Again(at=NOON, notes={})
    lost = recover(PING, NOON, idempotent=False)
    assert isinstance(lost, End)
    assert lost.event is Event.LOST_SIGHT


def test_a_resend_that_may_repeat_is_marked() -> None:
    step = recover(PING, NOON, idempotent=False, resend=True)
    assert isinstance(step, Again)
    assert step.notes["mayRepeat"] is True


def test_the_mended_route_is_the_one_that_is_used() -> None:
    notes = {"threadGone": True, "migratedTo": "-200"}
    route = effective_route(replace(PING, route=TOPIC, notes=notes))
    assert (route.to, route.thread_id) == ("-200", None)


def test_the_receipt_of_a_delivered_message_has_ids_and_latency() -> None:
    done = replace(
        PING,
        state=State.DELIVERED,
        first_attempt_at=NOON,
        ended_at=NOON + timedelta(milliseconds=840),
        message_ids=("77",),
        notes={"formatFallback": True},
    )
    got = receipt(done)
    assert got["status"] == "delivered"
    assert got["messageIds"] == ["77"]
    assert got["latencyMs"] == 840
    assert got["formatFallback"] is True
    assert "nextAttemptAt" not in got


def test_the_receipt_of_a_waiting_message_says_when_and_why() -> None:
    waiting = replace(
        PING,
        state=State.QUEUED,
        next_attempt_at=NOON + timedelta(seconds=5),
        last_error={"class": "server", "code": "500", "detail": "Internal Server Error"},
    )
    got = receipt(waiting)
    assert (got["status"], got["class"], got["code"]) == ("queued", "server", "500")
    assert got["nextAttemptAt"] == 1_795_176_005_000


def test_an_unlisted_move_is_a_bug() -> None:
    with pytest.raises(IllegalMove):
        after(State.DELIVERED, Event.ATTEMPT)


def test_terminal_states_are_those_of_the_specification() -> None:
    assert {str(state) for state in TERMINAL} == {
        "delivered",
        "failed",
        "expired",
        "cancelled",
        "unknown",
    }
    assert {state for state, _ in MOVES} | TERMINAL == set(State)


@pytest.mark.parametrize(
    ("to", "shown"),
    [
        ("https://hooks.example/T0/hush-hush", "https://hooks.example/…"),
        ("https://hooks.example:8443?key=hush-hush", "https://hooks.example:8443/…"),
        ("https://me:hush-hush@hooks.example", "https://hooks.example/…"),
        ("https://hooks.example#hush-hush", "https://hooks.example/…"),
        ("https://hooks.example", "https://hooks.example"),
        ("42", "42"),
        ("c2c:ABCD", "c2c:ABCD"),
    ],
)
def test_an_address_that_is_called_is_told_up_to_its_host(to: str, shown: str) -> None:
    """Whoever knows the address of a webhook may post there (channels.md §13)."""
    route = webhook_route(to)
    told = (receipt(replace(PING, route=route)), words_of(replace(PING, route=route)))
    assert (told[0]["to"], told[1]["to"]) == (shown, f"webhook:{shown}")
    assert found_words(route)["to"] == shown
    assert "hush-hush" not in str(told)
    assert route.lane == f"webhook|{route.account_id}|{to}|"  # and is called where it leads
