"""Random lives of a message: nothing leaves a terminal state, nothing is retried for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.fault import Fault, FaultClass
from engine.messages.outbox import (
    MOVES,
    TERMINAL,
    Again,
    Event,
    IllegalMove,
    after,
    next_step,
    overdue,
    recover,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def message(state: State) -> Delivery:
    return Delivery(
        key="k",
        route=Route(channel="telegram", account_id="a", to="-1", thread_id="3"),
        text="x",
        kind="cron",
        created_at=NOON,
        expires_at=NOON + timedelta(hours=24),
        state=state,
        chunks=("x",),
    )


@given(st.lists(st.sampled_from(Event)))
def test_nothing_leaves_a_terminal_state(events: list[Event]) -> None:
    state = State.QUEUED
    for event in events:
        before = state
        try:
            state = after(state, event)
        except IllegalMove:
            assert (before, event) not in MOVES
        else:
            assert before not in TERMINAL


faults = st.builds(
    Fault,
    fault=st.sampled_from(FaultClass),
    retry_after_seconds=st.none() | st.floats(-10, 1e6),
    migrate_to=st.none() | st.just("-2"),
)


@given(st.lists(faults, min_size=40, max_size=60), st.booleans())
def test_every_consequence_is_a_legal_move_and_time_goes_on(
    life: list[Fault], idempotent: bool
) -> None:
    delivery, now = message(State.SENDING), NOON
    for fault in life:
        step = next_step(delivery, fault, now, idempotent=idempotent)
        if not isinstance(step, Again):
            assert after(State.SENDING, step.event) in TERMINAL
            return
        assert after(State.SENDING, Event.RETRY_LATER) is State.QUEUED
        assert now <= step.at <= delivery.expires_at
        delivery, now = replace(delivery, notes=step.notes), step.at
        if overdue(delivery, now):
            return


@given(st.lists(st.sampled_from(sorted({FaultClass.SERVER, FaultClass.FORMAT})), min_size=200))
def test_retries_come_to_an_end(life: list[FaultClass]) -> None:
    delivery, now = message(State.SENDING), NOON
    for fault in life:
        step = next_step(delivery, Fault(fault=fault), now, idempotent=False)
        if not isinstance(step, Again):
            return
        delivery, now = replace(delivery, notes=step.notes), step.at
        if overdue(delivery, now):
            return
    raise AssertionError("a message was retried beyond its expiry")


@given(st.booleans(), st.booleans())
def test_recovery_never_repeats_silently(idempotent: bool, resend: bool) -> None:
    step = recover(message(State.SENDING), NOON, idempotent=idempotent, resend=resend)
    if isinstance(step, Again):
        assert idempotent or step.notes["mayRepeat"] is True
    else:
        assert step.event is Event.LOST_SIGHT
