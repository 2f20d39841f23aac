"""What a beat was, in words: for `engine heartbeat last`, its history and the event. Pure.

heartbeat.md §9.1 (record); design.md §5 (status mapping); operations.md §16 L8 (sentence).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.messages.delivery import Delivery, State
from engine.messages.fault import remedy
from engine.messages.wire_word import wire_word
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.wallclock import EPOCH, MILLISECOND, ms, zone as zone_of

_OVERDUE: Final = timedelta(minutes=1)
MANUAL: Final = "manual"  # the reason of a beat by hand: it brings no words
_MENDABLE: Final = (State.QUEUED, State.SENDING, State.FAILED, State.EXPIRED)
_SHOWN: Final = 64  # characters of a recipient or preview in a sentence


# What is stored for each word of `wire_status`.
WIRE: Final[Mapping[str, tuple[RunStatus, ...]]] = {
    "sent": (RunStatus.OK,),
    "ok-token": (RunStatus.OK,),
    "ok-empty": (RunStatus.OK,),
    "skipped": (RunStatus.SKIPPED, RunStatus.MISSED, RunStatus.OK),
    "failed": (RunStatus.FAILED, RunStatus.OK),
    "claimed": (RunStatus.CLAIMED,),
    "running": (RunStatus.RUNNING,),
    "deferred": (RunStatus.DEFERRED,),
}


def wire_status(run: Run, delivery: Delivery | None) -> str:
    """Return the older product's word for a beat (design.md §5)."""
    return wire_word(run.status, run.outcome, run.reason, delivery.state if delivery else None)


def record_words(
    run: Run, delivery: Delivery | None, *, zone: ZoneInfo | None = None
) -> dict[str, Any]:
    """Return a beat as `heartbeat last --json` shows it: the seed's keys and our own.

    ``zone`` is the person's; without it the sentence tells the run's local time.
    """
    status = wire_status(run, delivery)
    alert = run.outcome is Outcome.ALERT
    silent = status in ("ok-empty", "ok-token") and delivery is None
    ended = run.ended_at or run.started_at or run.claimed_at
    began = run.claimed_at or run.started_at
    took = (ended - began) // MILLISECOND if ended is not None and began is not None else 0
    words: dict[str, Any] = {
        "ts": ms(ended),
        "status": status,
        "reason": _seed_reason(run, delivery, status),
        "durationMs": took,
        "silent": silent if status.startswith("ok-") else None,
        "indicatorType": _indicator(run, status),
        "to": run.target.get("to") if alert and status == "sent" else None,
        "preview": (run.reply.get("preview") or None) if status != "ok-empty" else None,
        "hasMedia": False if alert else None,
        "channel": run.target.get("channel"),
        "accountId": run.target.get("accountId"),
    }
    told = sentence(run, delivery, zone=zone or zone_of(run.tz or "UTC"))
    if run.reason in (SkipReason.TARGET_NONE, SkipReason.NO_ROUTE):
        words["message"] = told
    words |= _our_words(run, delivery) | {"explain": told}
    return {key: value for key, value in words.items() if value is not None}


def _our_words(run: Run, delivery: Delivery | None) -> dict[str, Any]:
    target = {
        key: run.target[key]
        for key in ("channel", "accountId", "to", "threadId", "via", "learntAt", "reason")
        if run.target.get(key) is not None
    }
    usage = run.usage
    return {
        "agentId": run.agent_id,
        "runId": run.id,
        "sessionKey": run.session_key,
        "slotMs": ms(run.slot),
        "model": run.model,
        "tokens": usage.total_tokens if usage else None,
        "costUsd": usage.cost_usd if usage else None,
        "skipReason": run.reason.value if run.reason else None,
        "because": run.because or None,
        "wakeReason": _wake_reason(run),
        "provenance": _provenance(run) or None,
        "outsideActiveHours": run.facts.get("outsideActiveHours"),
        "held": run.facts.get("held"),
        "probes": run.facts.get("probes"),
        "adaptive": run.facts.get("adaptive"),
        "target": target or None,
        "file": {"warnings": list(run.facts["warnings"])} if run.facts.get("warnings") else None,
        "delivered": delivery.state is State.DELIVERED if delivery else None,
        "delivery": None
        if delivery is None
        else {
            "state": delivery.state.value,
            "key": delivery.key,
            "attempts": delivery.attempts,
            **({"reason": delivery.reason} if delivery.reason else {}),
            **({"lastError": dict(delivery.last_error)} if delivery.last_error else {}),
            **({"nextAttemptMs": ms(delivery.next_attempt_at)} if delivery.next_attempt_at else {}),
        },
        "messageId": delivery.message_ids[-1] if delivery and delivery.message_ids else None,
        "error": dict(run.error) if run.error else None,
        "nextDueAt": ms(run.next_due_at),
    }


def _seed_reason(run: Run, delivery: Delivery | None, status: str) -> str | None:
    """Return the seed's overloaded `reason`: wake, skip or error (§9.1)."""
    if status == "skipped":
        if run.reason is not None:
            return run.reason.value
        return (delivery.reason or delivery.state.value) if delivery else None
    if status == "failed":
        if run.error:
            return str(run.error.get("message", "failed"))
        return (delivery.reason or delivery.state.value) if delivery else "failed"
    return None if status == "sent" else _wake_reason(run)


def _wake_reason(run: Run) -> str | None:
    """Return why the agent was woken; a slot of the grid says `interval`."""
    reason = run.wake.get("reason")
    if reason is None and run.trigger in (Trigger.SCHEDULE, Trigger.CATCHUP):
        return "interval"
    return None if reason is None else str(reason)


def _provenance(run: Run) -> dict[str, Any]:
    """Who woke it, with which events, and by which config, checklist and prompts (§25-19)."""
    facts = run.facts
    told = {
        "source": run.wake.get("source"),
        "by": run.wake.get("by"),
        "eventIds": list(run.wake.get("eventIds") or ()),
        "configHash": facts.get("config"),
        "checklistHash": (facts.get("file") or {}).get("sha256"),
        "promptVersion": (facts.get("prompt") or {}).get("version"),
    }
    return {key: value for key, value in told.items() if value}


def _indicator(run: Run, status: str) -> str | None:
    if run.facts.get("useIndicator") is False:
        return None
    if run.outcome is Outcome.ALERT and run.reason is SkipReason.ALERTS_DISABLED:
        return "alert"
    return {"ok-empty": "ok", "ok-token": "ok", "sent": "alert", "failed": "error"}.get(status)


def sentence(
    run: Run,
    delivery: Delivery | None,
    *,
    zone: ZoneInfo,
    now: datetime | None = None,
    off: str | None = None,
    down: bool = False,
) -> str:
    """Say in words what a beat was: when, whose, what it did, why, and what comes next.

    ``off`` says that no next one comes, and why; ``down`` that nothing runs to serve it.
    """
    slot = run.slot if run.status is RunStatus.MISSED else None  # its row came later
    at = (slot or run.ended_at or run.started_at or run.claimed_at or EPOCH).astimezone(zone)
    same_day = now is not None and now.astimezone(zone).date() == at.date()
    stamp = f"{at:%H:%M:%S}" if same_day else f"{at:%Y-%m-%d %H:%M:%S}"
    parts = [f"{stamp} {run.agent_id or 'main'}: {_what(run, delivery, zone)}"]
    if taken := _taken(run, zone):
        parts.append(taken)
    if tripped := _tripped(run):
        parts.append(tripped)
    if complaint := _checklist(run):
        parts.append(complaint)
    if off is not None:
        parts.append(off)
    elif run.next_due_at is not None:
        today = (now or at).astimezone(zone).date()
        parts.append(_following(run.next_due_at, zone, now, today=today, down=down))
    if off is None and (fix := _way_out(run, delivery)):  # the command that ends ``off`` is told
        parts.append(f"Fix: {fix}")  # the last words, and no full stop: they are pasted
    return " ".join(parts)


def _way_out(run: Run, delivery: Delivery | None) -> str:
    """What a person can do, where something can be done; nothing where time mends it."""
    unsent = run.status is RunStatus.OK and run.outcome is Outcome.ALERT
    if run.reason is not None and (unsent or run.status is RunStatus.SKIPPED):
        fix = run.reason.fix_for(run.kind, agent=run.agent_id, job=run.job_id)
    elif unsent and delivery is not None and delivery.state in _MENDABLE:
        kind = (delivery.last_error or {}).get("class") or delivery.reason
        fix = remedy(kind, delivery.route.channel, delivery.route.account_id)
    else:
        return ""
    return "" if fix.startswith("nothing") else fix


def _taken(run: Run, zone: ZoneInfo) -> str:
    """Say which turn saw the events that a beat was to see (heartbeat.md §15)."""
    taken = run.facts.get("eventsTaken") or ()
    if not taken or run.reason is SkipReason.NO_PENDING_EVENT:
        return ""
    newest = taken[-1]
    at = (EPOCH + newest["atMs"] * MILLISECOND).astimezone(zone)
    what = "An event" if len(taken) == 1 else f"{len(taken)} events"
    return f"{what} went to a message to the agent at {at:%H:%M} (run {newest['runId']})."


def _tripped(run: Run) -> str:
    """Say which probe let the agent be asked (heartbeat.md §25-15)."""
    tripped = (run.facts.get("probes") or {}).get("tripped") or {}
    if not tripped or run.status is RunStatus.SKIPPED:
        return ""
    return f"It looked because of {', '.join(f'{name}: {why}' for name, why in tripped.items())}."


def _checklist(run: Run) -> str:
    """Say what in HEARTBEAT.md was not understood (heartbeat.md §11.2: never silence)."""
    warnings = run.facts.get("warnings") or ()
    if not warnings:
        return ""
    more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
    return f"{warnings[0]}{more}."


def _following(
    due: datetime, zone: ZoneInfo, now: datetime | None, *, today: date, down: bool
) -> str:
    """Say when the next one comes; its day and zone too, unless that is today."""
    local = due.astimezone(zone)
    when = f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M} ({zone.key})"
    if now is not None and now - due > _OVERDUE:
        return f"The next was due at {when} and is not on record."
    return f"Next: {when}, once a gateway runs." if down else f"Next: {when}."


def _what(run: Run, delivery: Delivery | None, zone: ZoneInfo) -> str:
    match run.status:
        case RunStatus.SKIPPED:
            return f"skipped ({_reason(run)}). {_because(run)}{_kept(run)}"
        case RunStatus.MISSED:
            many = f"{run.count} beats " if run.count > 1 else ""
            return f"{many}missed ({_reason(run)}). {_because(run)}"
        case RunStatus.FAILED:
            why = str((run.error or {}).get("message") or _because(run)).rstrip(".")
            return f"failed{_asked(run)}: {why}.{_kept(run)}"
        case RunStatus.DEFERRED:
            return f"waiting ({_reason(run)}). {_because(run)}"
        case RunStatus.CLAIMED | RunStatus.RUNNING:
            return f"running{_asked(run)}."
        case RunStatus.OK:
            return f"ran{_took(run)}{_asked(run)}. {_said(run, delivery, zone)}"


def _kept(run: Run) -> str:
    """Say what became of the events nobody read: a beat that does not answer keeps them."""
    count = _events(run)
    if not count or run.reason is SkipReason.NO_PENDING_EVENT:
        return ""
    return (
        " Its event is kept and asked again."
        if count == 1
        else f" Its {count} events are kept and asked again."
    )


def _events(run: Run) -> int:
    return len(run.facts.get("events") or run.wake.get("eventIds") or ())


def _reason(run: Run) -> str:
    return run.reason.value if run.reason else "no reason on record"


def _because(run: Run) -> str:
    if run.because:
        return run.because[0].upper() + run.because[1:].rstrip(".") + "."
    return run.reason.sentence if run.reason else ""


def _took(run: Run) -> str:
    if run.started_at is None or run.ended_at is None:
        return ""
    return f" {(run.ended_at - run.started_at).total_seconds():.1f} s"


def _asked(run: Run) -> str:
    asked = run.wake.get("by") or run.wake.get("source")
    return "" if asked in (None, "", "interval") else f" (asked by: {asked})"


def _said(run: Run, delivery: Delivery | None, zone: ZoneInfo) -> str:
    if run.outcome is Outcome.ACKNOWLEDGED:
        beside = _short(str(run.reply.get("droppedText") or ""))
        kept = f' (and "{beside}", kept on record)' if beside else ""
        told = f"The agent answered HEARTBEAT_OK{kept}, so nothing was sent."
        return " ".join(part for part in (told, _read(run), _would(run)) if part)
    if run.outcome is Outcome.EMPTY:
        return f"The agent said nothing, so nothing was sent. {_would(run)}".rstrip()
    said = _short(str(run.reply.get("preview") or run.reply.get("rawText") or ""))
    if run.reason is not None:
        return f'It said "{said}", which was not sent ({run.reason.value}): {_because(run)}'
    return f'It said "{said}": {_carried(delivery, run, zone)}'


def _read(run: Run) -> str:
    """Say whether a woken agent had anything to answer: an event is read by its own agent only."""
    if not _asked(run) or run.wake.get("reason") == MANUAL:
        return ""
    count = _events(run)
    if not count and (run.facts.get("tasks") or {}).get("due"):
        return ""  # it was asked about its tasks
    if not count:
        return "No event text was in its prompt; words the wake carried were for another agent."
    return "" if count == 1 else f"{count} events were in its prompt."


def _would(run: Run) -> str:
    if run.target.get("channel"):
        return f"It would have gone to {_place(run.target)}."
    why = run.target.get("because") or run.target.get("reason")
    return f"Even an alert would have gone nowhere: {why}." if why else ""


def _carried(delivery: Delivery | None, run: Run, zone: ZoneInfo) -> str:
    where = _place(run.target)
    if delivery is None:
        return f"queued for {where}."
    match delivery.state:
        case State.DELIVERED:
            receipt = f", receipt {delivery.message_ids[-1]}" if delivery.message_ids else ""
            return f"delivered to {where}{receipt}."
        case State.QUEUED | State.SENDING:
            again = delivery.next_attempt_at
            later = f", next attempt {again.astimezone(zone):%H:%M:%S}" if again is not None else ""
            tried = f", the last attempt failed ({_fault(delivery)})" if delivery.last_error else ""
            return f"on its way to {where}{tried}{later}."
        case State.HELD:
            return f"held for {where} until the person writes."
        case State.UNKNOWN:
            lost = f" ({_fault(delivery)})" if delivery.last_error or delivery.reason else ""
            return (
                f"it may have reached {where}{lost}; it was not sent again, that could repeat it."
            )
        case State.FAILED | State.EXPIRED:
            why = _fault(delivery) or "no reason given"
            return f"not delivered to {where}: {delivery.state.value} ({why})."
        case State.CANCELLED:
            return f"not delivered to {where}: cancelled ({delivery.reason or 'no reason given'})."


def _fault(delivery: Delivery) -> str:
    """What the platform said, e.g. ``blocked: 403 Forbidden: bot was blocked by the user``."""
    error = delivery.last_error or {}
    kind = str(error.get("class") or delivery.reason or "")
    said = _short(f"{error.get('code') or ''} {error.get('detail') or ''}")
    return f"{kind}: {said}" if said else kind


def _place(target: Mapping[str, Any]) -> str:
    account = target.get("accountId")
    whose = f"/{account}" if account and account != "default" else ""
    return f"{target.get('channel', 'nowhere')}{whose} → {_short(str(target.get('to') or '?'))}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
