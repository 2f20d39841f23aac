"""What a beat comes to: whether it goes on, its row, its messages, when the next may come. Pure.

heartbeat.md §6.4 (waiting), §7 rows 23-30 (what goes out), §13 (replies).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.agents.base import AgentFailure, FailureClass, ToolRefused, TurnReply, used
from engine.agents.tools.heartbeat import NAME as RESPOND, valid_response
from engine.decisions.gates import Decision, Defer, Skip
from engine.decisions.wake import ASKED, Intent, Wake
from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.kept import UNSENT, Kept
from engine.messages.outbox import expiry
from engine.messages.repetition import Sent, ordinal, the_same
from engine.messages.route import NoRoute
from engine.roster.view import View
from engine.wording.outcome import TOKEN, Verdict, classify
from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule
from jobs.ledger import Outcome, Run, RunStatus, SkipReason
from jobs.wallclock import MILLISECOND, ms
from jobs.written import parse_at

# -- does it go on ---------------------------------------------------------------------------


def gone(asked: Collection[str], waiting: Collection[str]) -> bool:
    """Say whether a wake came for events of which none is there any more."""
    return bool(asked) and not any(one in waiting for one in asked)


def overtaken(wake: Wake, view: View) -> Skip | None:
    """End a wake whose events another turn took up: asking again would be about nothing."""
    if not gone(wake.event_ids, {event.id for event in view.events}):
        return None
    if late := [one for one in view.expired if one.id in wake.event_ids]:
        at = max(one.expires_at for one in late if one.expires_at is not None)
        words = f"its event expired at {at.astimezone(view.agent.zone):%Y-%m-%d %H:%M:%S}"
        return Skip(SkipReason.NO_PENDING_EVENT, f"{words} ({view.agent.zone}) before it was seen")
    takers = dict.fromkeys(one.run_id for one in view.taken if one.id in wake.event_ids)
    who = f"a message to the agent (run {', '.join(takers)})" if takers else "another beat"
    return Skip(SkipReason.NO_PENDING_EVENT, f"{who} has taken its events up")


def bounded(decision: Decision, intent: Intent, waited: timedelta, most: timedelta) -> Decision:
    """Let a scheduled slot give up in the end; the grid brings the next (§6.4)."""
    if not isinstance(decision, Defer) or intent is not Intent.SCHEDULED or waited < most:
        return decision
    minutes = int(waited.total_seconds() // 60)
    return Skip(decision.reason, f"{decision.because}; given up after {minutes} min")


# -- what it amounts to ----------------------------------------------------------------------


def verdict_on(reply: TurnReply, view: View, *, response_prefix: str = "") -> Verdict:
    """Say what an agent's reply to a beat amounts to."""
    response = None
    for call in reply.tool_calls:
        if call.name == RESPOND and not call.failed:
            with suppress(ToolRefused):  # an invalid answer counts as none (§13 point 2)
                response = valid_response(call.arguments)
    verdict = classify(
        reply.payloads,
        ack_max_chars=view.agent.beat.ack_max_chars,
        response_prefix=response_prefix,
        response=response,
        bare_ack_only=_relays(view),
        visible=_asked(view),
    )
    if verdict.reasoning or not reply.reasoning:
        return verdict
    return replace(verdict, reasoning=(f"Reasoning:\n{reply.reasoning}",))


def reading(
    run: Run, view: View, verdict: Verdict, *, prefix: str, said: Sent | None, held: Kept | None
) -> dict[str, Any]:
    """Return by what rules a reply was read, for the row: with them it can be read again."""
    window = view.agent.beat.dedupe_window
    told: dict[str, Any] = {
        "ackMaxChars": view.agent.beat.ack_max_chars,
        "bareAckOnly": _relays(view),
        "visible": _asked(view),
        "prefix": prefix,
        "dedupeMs": None if window is None else window // MILLISECOND,
    }
    if held is not None:
        told["held"] = _on_hold(held, view.agent.zone)[0].value
    elif _collected(run, view, verdict):
        told["held"] = SkipReason.DIGEST.value
    return told if said is None else {**told, "saidAtMs": ms(said.at)}


def _relays(view: View) -> bool:
    """Whether words beside the token are the end of a command, and no small talk."""
    return any(event.kind == "exec" for event in view.events)


def _asked(view: View) -> bool:
    """Whether somebody waits for words they can see (operations.md §16 L9)."""
    return any(event.kind == ASKED for event in view.events)


def answered(run: Run, reply: TurnReply, verdict: Verdict, at: datetime) -> Run:
    """Return the row of a beat whose agent answered."""
    words: dict[str, Any] = {
        "rawText": "\n".join(reply.payloads),
        "payloads": list(reply.payloads) if len(reply.payloads) > 1 else None,
        "preview": verdict.preview,
        "droppedText": verdict.dropped,
        "response": dict(verdict.response) if verdict.response else None,
        "reasoning": reply.reasoning,
        "tools": used(reply.tool_calls),
    }
    return replace(
        run,
        status=RunStatus.OK,
        outcome=verdict.outcome,
        usage=reply.usage,
        model=reply.model,
        provider=reply.provider,
        reply={key: value for key, value in words.items() if value},
        ended_at=at,
    )


def unanswered(run: Run, failure: AgentFailure, at: datetime) -> Run:
    """Return the row of a beat whose agent failed."""
    ended = run.failed(failure.failure.value, failure.message, at)
    return replace(ended, outcome=Outcome.FAILED)


def unusable(run: Run, verdict: Verdict, at: datetime) -> Run:
    """Return the row of a beat whose agent answered with what is no answer."""
    ended = run.failed(FailureClass.INTERNAL.value, verdict.because, at)
    return replace(ended, outcome=Outcome.FAILED, reply={"rawText": verdict.dropped})


SOONEST_LOOK: Final = timedelta(minutes=5)


def next_check(verdict: Verdict, view: View, now: datetime) -> datetime | None:
    """Return when the agent wants to look once more before its next beat (§13 point 2).

    Within 5 minutes and the interval; None if it named no time, or the next beat comes first.
    """
    asked = str((verdict.response or {}).get("nextCheck") or "").strip()
    every = view.agent.beat.period
    if not asked or every is None:
        return None
    try:
        span = asked[:1].isdigit() and asked[-1:].isalpha() and "T" not in asked.upper()
        zone = view.agent.zone.key
        at = now + parse_duration(asked) if span else parse_at(asked, now=now, tz=zone)
    except InvalidSchedule:
        return None
    at = min(max(at, now + SOONEST_LOOK), now + every)
    following = view.next_due_at
    return at if following is None or at < following else None


# -- what goes out ---------------------------------------------------------------------------


# How an alert of a priority goes out (§13 point 2): without a sound, or before others.
MANNER: Final[Mapping[str, Mapping[str, Any]]] = {
    "low": {"notes": {"silent": True}},
    "high": {"priority": Priority.CRON},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The words of an alert at the place they are for: sent now, or held back once more."""

    lane: str
    same: str  # what makes other words the same again
    sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A beat's row, the messages it makes, and what is remembered of its alert."""

    run: Run
    deliveries: tuple[Delivery, ...] = ()
    alert: Alert | None = None


def same_again(verdict: Verdict, view: View) -> str:
    """Return what makes other words of this agent the same again."""
    return the_same(verdict.text, loosely=view.agent.beat.dedupe_loosely)


def spoken(
    run: Run,
    view: View,
    verdict: Verdict,
    said: Sent | None,
    now: datetime,
    *,
    held: Kept | None = None,
) -> Spoken:
    """Decide what goes out, and if nothing does, why.

    ``said`` is when the same words last went to the same place; ``held`` is where somebody
    asked not to hear them.
    """
    route = view.found
    thoughts = verdict.reasoning if view.agent.beat.include_reasoning else ()
    if verdict.outcome is not Outcome.ALERT:
        if not isinstance(route, Route):
            return Spoken(run=run)
        texts = [*(thoughts if view.shown.alerts else ()), *([TOKEN] if view.shown.ok else ())]
        calm = _deliveries(run, view, route, texts, now)  # it lets everything else go first
        return Spoken(run=run, deliveries=tuple(replace(o, priority=Priority.BULK) for o in calm))
    if isinstance(route, NoRoute):
        return Spoken(run=_unsent(run, verdict, route.reason, route.because))
    if not view.shown.alerts:
        words = f"showAlerts is off for {route.channel}"
        return Spoken(run=_unsent(run, verdict, SkipReason.ALERTS_DISABLED, words))
    if held is not None:
        return Spoken(run=_unsent(run, verdict, *_on_hold(held, view.agent.zone)))
    if because := _collected(run, view, verdict):
        return Spoken(run=_unsent(run, verdict, SkipReason.DIGEST, because))
    if said is not None and _repeats(view, verdict, said, now):
        return _held_back(run, view, verdict, route, said)
    zone = view.agent.zone
    manner = MANNER.get(str((verdict.response or {}).get("priority")), {})
    text = verdict.text if said is None else said.counted(verdict.text, zone)
    made = tuple(
        replace(one, **manner) for one in _deliveries(run, view, route, [*thoughts, text], now)
    )
    return Spoken(
        run=replace(run, delivery_key=made[-1].key),
        deliveries=made,
        alert=Alert(lane=route.lane, same=same_again(verdict, view), sent=True),
    )


def _collected(run: Run, view: View, verdict: Verdict) -> str:
    """Return why an alert waits for the digest, or '' (§25 row 12).

    Low priority waits; outside the active hours everything does that has a lower one than high.
    What has none was asked for by somebody, or would have been silent: it is sent.
    """
    digest = view.agent.beat.digest
    priority = (verdict.response or {}).get("priority")
    if digest is None or priority is None:
        return ""
    times = ", ".join(f"{at:%H:%M}" for at in digest.at)
    if priority == "low":
        return f"its priority is low; the digest is sent at {times}"
    held = priority != "high" or not digest.urgent_during_quiet
    if held and run.facts.get("outsideActiveHours"):
        return f"it is outside the active hours; the digest is sent at {times}"
    return ""


def _on_hold(held: Kept, zone: ZoneInfo) -> tuple[SkipReason, str]:
    where = f"inbox {held.number}"
    if held.muted_at is not None:
        at = held.muted_at.astimezone(zone)
        return SkipReason.MUTED, f"these words were muted on {at:%Y-%m-%d %H:%M} ({where})"
    until = (held.until or held.at).astimezone(zone)
    return SkipReason.SNOOZED, f"these words are snoozed until {until:%Y-%m-%d %H:%M} ({where})"


def _unsent(run: Run, verdict: Verdict, reason: SkipReason, because: str) -> Run:
    """Return the row of words that are not sent; `engine.messages.kept` finds them there."""
    reply = run.reply
    if verdict.text != reply.get("rawText"):
        reply = {**reply, UNSENT: verdict.text}
    return replace(run, reason=reason, because=because, reply=reply)


def _repeats(view: View, verdict: Verdict, said: Sent, now: datetime) -> bool:
    urgent = (verdict.response or {}).get("priority") == "high"
    return said.within(view.agent.beat.dedupe_window, now) and not (view.events or urgent)


def _held_back(run: Run, view: View, verdict: Verdict, route: Route, said: Sent) -> Spoken:
    zone = view.agent.zone
    since = said.at.astimezone(zone)
    time = ordinal(said.suppressed + 2)
    words = f"the same text was sent there at {since:%Y-%m-%d %H:%M:%S} ({zone.key}); {time} time"
    return Spoken(
        run=_unsent(run, verdict, SkipReason.DUPLICATE, words),
        alert=Alert(lane=route.lane, same=same_again(verdict, view), sent=False),
    )


def _deliveries(
    run: Run, view: View, route: Route, texts: Sequence[str], now: datetime
) -> tuple[Delivery, ...]:
    return tuple(_delivery(run, view, route, text, n, now) for n, text in enumerate(texts))


def _delivery(
    run: Run, view: View, route: Route, text: str, number: int, now: datetime
) -> Delivery:
    # A reminder is no periodic noise: it neither expires nor is replaced like a beat's.
    kind = "event" if view.events else "heartbeat"
    return Delivery(
        key=f"heartbeat:{run.id}:{number}",
        route=route,
        text=text,
        kind=kind,
        created_at=now,
        expires_at=expiry(kind, now, every=view.agent.beat.expiry),
        agent_id=view.agent.agent_id,
        run_id=run.id,
        job_id=run.job_id,
        priority=Priority.CRON if view.events else Priority.HEARTBEAT,
    )
