"""Which wake wins, which merge, which wait: the vectors of heartbeat.md §6."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.decisions.wake import Intent, QueuedEvent, Wake, again, guard, merge
from jobs.wallclock import EPOCH

FIXTURES = Path(__file__).parents[3] / "fixtures" / "heartbeat_fixtures.json"
GUARDS: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["guards"]
EVENT = Wake(
    agent_id="main",
    session_key="agent:main:main",
    source="exec",
    intent=Intent.EVENT,
    reason="exec-event",
    requested_at=EPOCH,
    event_ids=("a",),
)


def _at(ms: int) -> Any:
    return EPOCH + timedelta(milliseconds=ms)


@pytest.mark.parametrize("case", GUARDS, ids=lambda c: f"{c['intent']}-{c['now']}-{c['lastStart']}")
def test_a_wake_is_held_back_as_specified(case: dict[str, Any]) -> None:
    want = {**case["m"], **case.get("e", {})}
    last = case["lastStart"]
    got = guard(
        Intent(case["intent"]),
        _at(case["now"]),
        next_due=_at(case["nextDue"]),
        last_start=None if last is None else _at(last),
        starts=[_at(ms) for ms in case.get("starts", [])],
    )
    assert (got and got.reason.value) == want["defer"]
    if "retryAt" in want:
        assert got is not None
        assert got.retry_at == _at(want["retryAt"])


def test_a_person_is_never_held_back() -> None:
    starts = [_at(1000 * second) for second in range(10)]
    assert (
        guard(
            Intent.MANUAL, _at(10_000), next_due=_at(99_000), last_start=starts[-1], starts=starts
        )
        is None
    )


def test_a_higher_intent_replaces_a_lower_one_and_keeps_its_events() -> None:
    manual = replace(EVENT, intent=Intent.MANUAL, reason="wake", event_ids=("b",))
    for merged in (merge(EVENT, manual), merge(manual, EVENT)):
        assert merged.reason == "wake"
        assert set(merged.event_ids) == {"a", "b"}


def test_among_equals_the_newer_wins_and_the_override_survives() -> None:
    cron = replace(EVENT, reason="cron:brief", target="last")
    assert merge(cron, EVENT).reason == "exec-event"
    assert merge(cron, EVENT).target == "last"


# -- events ----------------------------------------------------------------------------------


def queued(**changes: Any) -> QueuedEvent:
    known = {"id": "e1", "agent_id": "main", "session_key": "agent:main:main", "text": "Look."}
    return QueuedEvent(**{**known, "source": "hook", "created_at": EPOCH, **changes})


@pytest.mark.parametrize(
    ("context", "kind"),
    [(None, "note"), ("cron:brief", "cron"), ("exec:1f", "exec"), ("node:desk", "note")],
)
def test_what_an_event_is_about_stands_before_the_colon(context: str | None, kind: str) -> None:
    assert queued(context_key=context).kind == kind


@pytest.mark.parametrize(
    ("event", "by", "intent", "target"),
    [
        (queued(source="cron", context_key="cron:brief"), "reminder", Intent.IMMEDIATE, "last"),
        (queued(source="cli"), "restart", Intent.MANUAL, None),
        (queued(source="cli"), "reminder", Intent.EVENT, None),
        (queued(), "restart", Intent.EVENT, None),
    ],
)
def test_an_event_asks_again_as_urgently_as_somebody_waits_for_it(
    event: QueuedEvent, by: str, intent: Intent, target: str | None
) -> None:
    wake = again(event, EPOCH, by)
    assert (wake.intent, wake.target, wake.by) == (intent, target, by)
    assert (wake.key, wake.event_ids) == (event.place, ("e1",))
