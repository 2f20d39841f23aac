"""Beats counted: the word each is counted under, the sentence, and how well they went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.decisions.tally import (
    GOAL,
    Beat,
    Kind,
    Ledger,
    Slo,
    floored,
    slo,
    tally,
    to_json,
    together,
)
from engine.messages.delivery import State
from jobs.ledger import Outcome, RunStatus, SkipReason, Trigger, Usage

NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def beat(minute: int = 0, **given: Any) -> Beat:
    slot = NOW + timedelta(minutes=minute)
    values: dict[str, Any] = {
        "agent_id": "main",
        "trigger": Trigger.SCHEDULE,
        "status": RunStatus.OK,
        "outcome": Outcome.ACKNOWLEDGED,
        "at": slot,
        "slot": slot,
        "claimed_at": slot,
    }
    return Beat(**values | given)


def skip(reason: SkipReason, **given: Any) -> Beat:
    return beat(**{"status": RunStatus.SKIPPED, "reason": reason, "outcome": None} | given)


def alert(message: State | None, **given: Any) -> Beat:
    return beat(**{"outcome": Outcome.ALERT, "message": message} | given)


def spec_day() -> list[Beat]:
    """The example of the specification (§25-1)."""
    empty = [skip(SkipReason.EMPTY_HEARTBEAT_FILE, minute=n) for n in range(18)]
    quiet = [skip(SkipReason.QUIET_HOURS, minute=n) for n in range(18, 24)]
    held = beat(25, deferrals=2, started_at=NOW + timedelta(minutes=25, seconds=40))
    return [*empty, *quiet, alert(State.DELIVERED, minute=24), held]


def test_a_day_is_told_in_one_sentence() -> None:
    assert tally(spec_day()).sentence == (
        "26 slots: 18 empty-heartbeat-file, 6 quiet-hours, 1 ok-token, 1 sent; 1 deferred 40 s"
    )


def test_what_was_asked_for_is_a_wake_and_no_slot() -> None:
    found = tally([beat(), beat(slot=None, trigger=Trigger.WAKE)])
    assert found.sentence == "1 slot and 1 wake: 2 ok-token"
    assert tally([]).sentence == "No beats."


@pytest.mark.parametrize(
    ("given", "word", "kind"),
    [
        (beat(), "ok-token", Kind.RAN),
        (beat(outcome=Outcome.EMPTY), "ok-empty", Kind.RAN),
        (alert(State.DELIVERED), "sent", Kind.SENT),
        (alert(State.UNKNOWN), "sent", Kind.SENT),
        (alert(State.QUEUED), "sent", Kind.OPEN),
        (alert(State.HELD), "sent", Kind.OPEN),
        (alert(State.FAILED), "failed", Kind.FAILED),
        (alert(State.EXPIRED), "failed", Kind.FAILED),
        (alert(State.CANCELLED), "cancelled", Kind.UNSENT),
        (alert(None, reason=SkipReason.TARGET_NONE), "target-none", Kind.UNSENT),
        (beat(status=RunStatus.FAILED), "failed", Kind.FAILED),
        (beat(status=RunStatus.DEFERRED), "deferred", Kind.OPEN),
        (skip(SkipReason.QUIET_HOURS), "quiet-hours", Kind.QUIET),
        (skip(SkipReason.NO_TASKS_DUE), "no-tasks-due", Kind.SKIPPED),
        (
            skip(SkipReason.MISSED_DOWNTIME, status=RunStatus.MISSED),
            "missed-downtime",
            Kind.MISSED,
        ),
    ],
)
def test_each_beat_is_counted_under_one_word_and_drawn_as_one_kind(
    given: Beat, word: str, kind: Kind
) -> None:
    assert (given.word, given.kind) == (word, kind)


def test_slots_that_share_a_row_are_counted_each() -> None:
    found = tally([skip(SkipReason.MISSED_DOWNTIME, status=RunStatus.MISSED, count=1200)])
    assert found.slots == 1200


def test_quarters_of_an_hour_hold_what_happened_in_them() -> None:
    found = tally([beat(1), skip(SkipReason.QUIET_HOURS, minute=14), beat(15)])
    assert found.cells == {
        NOW: {"ok-token": 1, "quiet-hours": 1},
        NOW + timedelta(minutes=15): {"ok-token": 1},
    }
    assert floored(NOW + timedelta(minutes=14, seconds=59)) == NOW


def test_what_it_cost_is_summed_over_its_turns() -> None:
    used = Usage(input_tokens=100, output_tokens=20, cost_usd=0.5)
    found = to_json(tally([beat(usage=used), beat(1, usage=used), beat(2)]), Ledger())
    assert found["cost"] == {"runs": 2, "tokens": 240, "usd": 1.0}


def test_lateness_is_told_by_ranks_that_were_there() -> None:
    late = [beat(n, claimed_at=NOW + timedelta(minutes=n) + SECOND * n) for n in range(100)]
    told = slo(tally(late), Ledger(expected=100))
    assert (told.lag_p50, told.lag_p99, told.lag_max) == (SECOND * 49, SECOND * 98, SECOND * 99)


def test_a_slot_that_was_made_up_for_is_not_late() -> None:
    made_up = beat(claimed_at=NOW + timedelta(hours=3), trigger=Trigger.CATCHUP)
    assert slo(tally([made_up]), Ledger(expected=1)).lag_p50 is None


@pytest.mark.parametrize(
    ("beats", "ledger", "misses"),
    [
        ([beat(n) for n in range(19)], Ledger(expected=20), ()),  # 95 % is enough
        ([beat(), beat(1)], Ledger(expected=4), ("2 of 4 beats were done (50.0%)",)),
        ([beat()], Ledger(expected=1, waiting=1), ("1 of 2 beats were done (50.0%)",)),
        ([skip(SkipReason.QUIET_HOURS)], Ledger(expected=1), ()),
        ([beat(status=RunStatus.FAILED)], Ledger(expected=1), ("0 of 1 beats were done (0.0%)",)),
        ([alert(State.DELIVERED), alert(State.QUEUED, minute=1)], Ledger(expected=2), ()),
        ([alert(State.FAILED)], Ledger(expected=1), ("0 of 1 alerts arrived (0.0%)",)),
        ([alert(None, reason=SkipReason.TARGET_NONE)], Ledger(expected=1), ()),
        ([], Ledger(), ()),
    ],
)  # fmt: skip
def test_the_goal_is_missed_when_too_few_beats_or_words_get_through(
    beats: list[Beat], ledger: Ledger, misses: tuple[str, ...]
) -> None:
    told = slo(tally(beats), ledger)
    assert told.misses == misses
    assert told.to_json()["ok"] is (not misses)


def test_figures_have_the_names_a_page_of_metrics_gives_them() -> None:
    found = Slo(
        lag_p50=SECOND, lag_p99=2 * SECOND, lag_max=2 * SECOND, expected=4, done=3,
        alerts=0, delivered=0,
    )  # fmt: skip
    assert found.metrics() == {
        "heartbeat_slot_lag_p50_seconds": 1.0,
        "heartbeat_slot_lag_p99_seconds": 2.0,
        "heartbeat_expected": 4.0,
        "heartbeat_done": 3.0,
    }
    assert found.beat_rate is not None
    assert found.beat_rate < GOAL


def test_audits_of_several_agents_are_summed() -> None:
    one = Ledger(expected=3, recorded=2, missing=1, waiting=1)
    assert together([one, one]) == Ledger(expected=6, recorded=4, missing=2, waiting=2)
