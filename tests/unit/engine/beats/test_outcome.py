"""What a beat comes to: does it go on, what amounts it to, what goes out and when is the next."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.agents.base import AgentFailure, FailureClass, ToolCall, TurnReply
from engine.beats.outcome import (
    Alert,
    answered,
    bounded,
    overtaken,
    spoken,
    unanswered,
    unusable,
    verdict_on,
)
from engine.decisions.gates import BeatSnapshot, Defer, Skip
from engine.decisions.wake import Intent, QueuedEvent, TakenEvent, Wake
from engine.messages.address import Route
from engine.messages.delivery import Priority
from engine.messages.kept import Kept
from engine.messages.repetition import Sent
from engine.messages.route import NoRoute
from engine.roster.roster import AgentProfile, BeatProfile, DigestPlan
from engine.roster.view import Shown, View
from engine.workspace import checklist
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
CHAT = Route(channel="telegram", account_id="default", to="42")
RUN = Run(
    id="r1",
    job_id="heartbeat:main",
    kind="heartbeat",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.RUNNING,
)
WAKE = Wake(
    agent_id="main",
    session_key="agent:main:main",
    source="interval",
    intent=Intent.SCHEDULED,
    reason="interval",
    requested_at=NOON,
)
EVENT = QueuedEvent(
    id="e1",
    agent_id="main",
    session_key="agent:main:main",
    text="backup failed",
    source="exec",
    created_at=NOON,
)
BUSY = Defer(SkipReason.REQUESTS_IN_FLIGHT, "the agent is busy")


def view(*, beat: dict[str, Any] | None = None, **seen: Any) -> View:
    agent = AgentProfile(
        agent_id="main",
        is_default=True,
        workspace=Path("/home/ada"),
        zone=ZoneInfo("UTC"),
        model=None,
        fallbacks=(),
        thinking=None,
        turn_timeout=10 * MINUTE,
        beat=BeatProfile(**{"period": 30 * MINUTE, **(beat or {})}),
    )
    facts: dict[str, Any] = {
        "agent": agent,
        "snapshot": BeatSnapshot(intent=Intent.SCHEDULED),
        "session_key": "agent:main:main",
        "events": (),
        "file": checklist.parse(b"- look"),
        "due": (),
        "found": CHAT,
        "shown": Shown(),
        "failures": 0,
        "next_due_at": None,
        "looked_at": NOON,
    }
    return View(**{**facts, **seen})


def said(*payloads: str, calls: tuple[ToolCall, ...] = (), **more: Any) -> TurnReply:
    return TurnReply(payloads=payloads, tool_calls=calls, **more)


def responded(**arguments: Any) -> ToolCall:
    return ToolCall(
        name="heartbeat_respond",
        arguments={"outcome": "done", "notify": True, "summary": "Rain.", **arguments},
    )


def out(seen: View, reply: TurnReply, before: Sent | None = None) -> Any:
    verdict = verdict_on(reply, seen)
    return spoken(answered(RUN, reply, verdict, NOON), seen, verdict, before, NOON)


# -- does it go on ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked_for", "waiting", "over"),
    [((), (), False), (("e1",), (EVENT,), False), (("e1", "e0"), (EVENT,), False)],
)
def test_a_wake_goes_on_while_one_of_its_events_waits(
    asked_for: tuple[str, ...], waiting: tuple[QueuedEvent, ...], over: bool
) -> None:
    wake = replace(WAKE, event_ids=asked_for)
    assert (overtaken(wake, view(events=waiting)) is not None) is over


def test_a_wake_whose_events_were_taken_up_is_over() -> None:
    wake = replace(WAKE, event_ids=("e0",))
    stop = overtaken(wake, view(events=(EVENT,)))
    assert stop is not None
    assert stop.reason is SkipReason.NO_PENDING_EVENT
    assert stop.because == "another beat has taken its events up"
    taken = (TakenEvent(id="e0", run_id="in-7", at=NOON),)
    stop = overtaken(wake, view(taken=taken))
    assert stop is not None
    assert stop.because == "a message to the agent (run in-7) has taken its events up"


def test_a_slot_gives_up_in_the_end_and_keeps_its_reason() -> None:
    most = 20 * MINUTE
    assert bounded(BUSY, Intent.SCHEDULED, 19 * MINUTE, most) is BUSY
    end = bounded(BUSY, Intent.SCHEDULED, 20 * MINUTE, most)
    assert end == Skip(BUSY.reason, "the agent is busy; given up after 20 min")


def test_a_wake_does_not_give_up() -> None:
    assert bounded(BUSY, Intent.EVENT, 9 * HOUR, HOUR) is BUSY


# -- what it amounts to ----------------------------------------------------------------------


def test_an_answer_by_the_tool_beats_the_text() -> None:
    verdict = verdict_on(said("HEARTBEAT_OK", calls=(responded(),)), view())
    assert (verdict.outcome, verdict.text) == (Outcome.ALERT, "Rain.")


@pytest.mark.parametrize("call", [responded(outcome="maybe"), replace(responded(), failed=True)])
def test_an_answer_the_tool_refused_counts_as_none(call: ToolCall) -> None:
    assert verdict_on(said("HEARTBEAT_OK", calls=(call,)), view()).outcome is Outcome.ACKNOWLEDGED


def test_what_stands_beside_the_token_is_told_when_a_command_has_ended() -> None:
    reply = said("The backup failed. HEARTBEAT_OK")
    about = replace(EVENT, context_key="exec:1f")
    assert verdict_on(reply, view()).outcome is Outcome.ACKNOWLEDGED
    assert verdict_on(reply, view(events=(about,))).outcome is Outcome.ALERT


def test_the_row_keeps_what_was_said_and_not_sent() -> None:
    reply = said("HEARTBEAT_OK. All quiet.", reasoning="I looked.", model="m")
    row = answered(RUN, reply, verdict_on(reply, view()), NOON)
    assert (row.status, row.outcome, row.model) == (RunStatus.OK, Outcome.ACKNOWLEDGED, "m")
    assert row.reply == {
        "rawText": "HEARTBEAT_OK. All quiet.",
        "droppedText": ". All quiet.",
        "reasoning": "I looked.",
    }


def test_a_failure_is_on_record_with_its_class() -> None:
    row = unanswered(RUN, AgentFailure(FailureClass.AUTH, "the key is refused"), NOON)
    assert row.error == {"class": "auth", "message": "the key is refused"}
    assert (row.status, row.outcome) == (RunStatus.FAILED, Outcome.FAILED)


def test_the_remains_of_a_broken_turn_are_kept() -> None:
    verdict = verdict_on(said("[tool_call]"), view())
    row = unusable(RUN, verdict, NOON)
    assert (row.outcome, row.reply) == (Outcome.FAILED, {"rawText": "[tool_call]"})


# -- what goes out ---------------------------------------------------------------------------


def test_an_alert_goes_where_it_should() -> None:
    told = out(view(), said("Rain."))
    (delivery,) = told.deliveries
    assert (delivery.key, delivery.kind, delivery.text) == ("heartbeat:r1:0", "heartbeat", "Rain.")
    assert delivery.priority is Priority.HEARTBEAT
    assert told.run.delivery_key == delivery.key
    assert told.alert == Alert(lane=CHAT.lane, same="Rain.", sent=True)


def test_a_reminder_is_no_periodic_noise() -> None:
    (delivery,) = out(view(events=(EVENT,)), said("The backup failed.")).deliveries
    assert (delivery.kind, delivery.priority) == ("event", Priority.CRON)
    assert delivery.expires_at == NOON + 24 * HOUR


def test_reasoning_goes_before_the_alert_if_it_was_asked_for() -> None:
    reply = said("Reasoning: clouds.", "Rain.")
    assert [one.text for one in out(view(), reply).deliveries] == ["Rain."]
    told = out(view(beat={"include_reasoning": True}), reply)
    assert [one.text for one in told.deliveries] == ["Reasoning: clouds.", "Rain."]
    assert told.run.delivery_key == "heartbeat:r1:1"


def test_that_all_is_well_is_told_only_where_it_is_wanted() -> None:
    assert out(view(), said("HEARTBEAT_OK")).deliveries == ()
    (calm,) = out(view(shown=Shown(ok=True)), said("HEARTBEAT_OK")).deliveries
    assert calm.text == "HEARTBEAT_OK"


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (view(found=NoRoute(SkipReason.TARGET_NONE, "target is none")), SkipReason.TARGET_NONE),
        (view(shown=Shown(alerts=False)), SkipReason.ALERTS_DISABLED),
    ],
)
def test_an_alert_that_is_not_sent_says_why(seen: View, reason: SkipReason) -> None:
    told = out(seen, said("Rain."))
    assert (told.run.status, told.run.reason, told.deliveries) == (RunStatus.OK, reason, ())
    assert told.run.because
    assert told.alert is None


def test_the_same_alert_again_is_held_back_and_counted() -> None:
    told = out(view(), said("Rain."), Sent(NOON - HOUR, 0))
    assert (told.run.reason, told.deliveries) == (SkipReason.DUPLICATE, ())
    assert told.run.because == (
        "the same text was sent there at 2026-06-01 11:00:00 (UTC); 2nd time"
    )
    assert told.alert == Alert(lane=CHAT.lane, same="Rain.", sent=False)


@pytest.mark.parametrize(
    ("seen", "reply"),
    [
        (view(events=(EVENT,)), said("Rain.")),
        (view(), said(calls=(responded(priority="high"),))),
        (view(beat={"dedupe_window": None}), said("Rain.")),
    ],
    ids=["event", "urgent", "off"],
)
def test_a_repetition_somebody_needs_is_sent(seen: View, reply: TurnReply) -> None:
    (delivery,) = out(seen, reply, Sent(NOON - HOUR, 2)).deliveries
    assert delivery.text == "Rain.\n(repeated 2× since 2026-06-01 11:00)"


# -- priority and digest ---------------------------------------------------------------------

DIGEST = {"digest": DigestPlan(at=(time(9),))}
HOLY = {"digest": DigestPlan(at=(time(9),), urgent_during_quiet=False)}


@pytest.mark.parametrize(
    ("beat", "night", "priority", "collected"),
    [
        ({}, False, "low", False),
        (DIGEST, False, "low", True),
        (DIGEST, False, "normal", False),
        (DIGEST, False, "high", False),
        (DIGEST, False, None, False),
        (DIGEST, True, "low", True),
        (DIGEST, True, "normal", True),
        (DIGEST, True, "high", False),
        (DIGEST, True, None, False),
        (HOLY, True, "high", True),
        (HOLY, False, "high", False),
    ],
)
def test_what_can_wait_is_collected(
    beat: dict[str, Any], night: bool, priority: str | None, collected: bool
) -> None:
    seen = view(beat=beat)
    given = {} if priority is None else {"priority": priority}
    reply = said(calls=(responded(**given),))
    run = replace(RUN, facts={"outsideActiveHours": True} if night else {})
    verdict = verdict_on(reply, seen)
    told = spoken(answered(run, reply, verdict, NOON), seen, verdict, None, NOON)
    assert (told.run.reason is SkipReason.DIGEST) is collected
    assert bool(told.deliveries) is not collected


@pytest.mark.parametrize(
    ("priority", "silent", "place"),
    [
        ("low", True, Priority.HEARTBEAT),
        ("normal", False, Priority.HEARTBEAT),
        ("high", False, Priority.CRON),
    ],
)
def test_a_priority_is_how_it_is_sent(priority: str, silent: bool, place: Priority) -> None:
    (delivery,) = out(view(), said(calls=(responded(priority=priority),))).deliveries
    assert (bool(delivery.notes.get("silent")), delivery.priority) == (silent, place)


# -- somebody asked not to hear it -----------------------------------------------------------

WORDS = Kept(id="run:r0", text="Rain.", reason="sent", at=NOON, kind="heartbeat", number=7)


@pytest.mark.parametrize(
    ("held", "reason", "because"),
    [
        (replace(WORDS, muted_at=NOON), SkipReason.MUTED, "muted on 2026-06-01 12:00 (inbox 7)"),
        (replace(WORDS, until=NOON + HOUR), SkipReason.SNOOZED, "until 2026-06-01 13:00 (inbox 7)"),
    ],
)
def test_words_somebody_asked_not_to_hear_are_not_sent_and_say_who_holds_them(
    held: Kept, reason: SkipReason, because: str
) -> None:
    reply, seen = said("Rain."), view()
    verdict = verdict_on(reply, seen)
    told = spoken(answered(RUN, reply, verdict, NOON), seen, verdict, None, NOON, held=held)
    assert (told.run.reason, told.deliveries) == (reason, ())
    assert because in told.run.because
