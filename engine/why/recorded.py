"""The same walk for what is on record: a beat of the past, or any run of a job.

Only the facts of its row are told. What the config said then, and whether the process would
have survived a log-out, is not kept: those two links are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from engine.messages.delivery import Delivery, State
from engine.why import after
from engine.why.chain import Code, Link, Standing, broken, ok, unknown, waits
from engine.why.facts import Recorded
from engine.why.reasons import objection, place
from jobs.duration import format_duration
from jobs.ids import made_at
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger

_R = SkipReason
_NEAR: Final = timedelta(minutes=1)  # as good as the instant that was asked for
_NOT_BEGUN: Final = "it did not come to that"
_OF_THE_MODEL: Final = (_R.SUSPENDED, _R.BACKOFF)


def links(told: Recorded) -> tuple[Link, ...]:
    """Return the links of a run, from the process to the receipt."""
    run = told.run
    if told.beat is not None:  # what became of a job's text is what became of that beat
        later = links(told.beat)
        rest = [link for link in later if link.code not in _OWN]
        return (*_own(told), *rest)
    return (
        *_own(told),
        _model(told),
        _reply(told),
        _target(run),
        _at(run, Code.CHANNEL) or unknown(Code.CHANNEL, "how its account stood is not kept"),
        _policy(run),
        _delivery(run, told.delivery),
    )


def subject(told: Recorded) -> str:
    """Name a run: `the beat of main at 2026-11-20 09:00:28 (UTC)`."""
    run = told.run
    when = _stamp(told.at, told.zone)
    if run.kind == "heartbeat":
        return f"the beat of {run.agent_id or 'main'} at {when}"
    return f"the run of {run.job_name or run.job_id} at {when}"


def aside(told: Recorded, asked: datetime) -> str | None:
    """Say that this beat is not of the instant that was asked for, but the one nearest to it."""
    run = told.run
    first = told.at
    last = run.slot_to or first
    if first is None or last is None or first - _NEAR <= asked <= last + _NEAR:
        return None
    earlier = last < asked
    what = f"Nothing was expected at {asked.astimezone(told.zone):%H:%M:%S}: the beat nearest to it"
    span = format_duration(_whole(asked - last if earlier else first - asked))
    return f"{what} came {span} {'before' if earlier else 'after'}."


def _whole(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))


def _stamp(at: datetime | None, zone: tzinfo) -> str:
    return "an unknown time" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone})"


def _at(run: Run, code: Code, state: Standing | None = None) -> Link | None:
    """The link where the run's own reason stands."""
    if run.reason is None or place(run.reason) is not code:
        return None
    waiting = None if run.status.final else Standing.WAITING
    return objection(run.reason, run.because, _fix(run), state=state or waiting)


def _fix(run: Run) -> str:
    """What to do, with the names the general remedy leaves open."""
    if run.reason is None:
        return ""
    agent = run.agent_id or "main"
    return run.reason.fix_for(run.kind, agent=agent, job=run.job_id)


# -- before the agent is asked ---------------------------------------------------------------

_OWN: Final = frozenset(
    {Code.GATEWAY, Code.SCHEDULER, Code.HEARTBEAT, Code.WINDOW, Code.GATE, Code.CHECKLIST}
)


def _own(told: Recorded) -> Sequence[Link]:
    run = told.run
    return (
        _gateway(told),
        _at(run, Code.SCHEDULER) or ok(Code.SCHEDULER, _trigger(run)),
        _at(run, Code.HEARTBEAT) or ok(Code.HEARTBEAT, _switched_on(run)),
        _at(run, Code.WINDOW) or ok(Code.WINDOW, _hour(run)),
        _gate(told),
        _checklist(run),
    )


def _gateway(told: Recorded) -> Link:
    run = told.run
    if run.reason in (_R.MISSED_DOWNTIME, _R.MISSED_GRACE_EXCEEDED):
        return objection(run.reason, _missed(told), _fix(run))
    return _at(run, Code.GATEWAY) or ok(Code.GATEWAY, "a gateway ran")


def down(silent: datetime, began: datetime, where: tzinfo) -> str:
    """Say from when to when no gateway left a sign."""
    last, first = _stamp(silent, where), _stamp(began, where)
    return (
        f"the gateway was down: its last sign of life is of {last}, and it began again at {first}"
    )


def _missed(told: Recorded) -> str:
    """Why nothing served a slot: the process that found that may be older than the slot."""
    run = told.run
    began = made_at(run.boot_id) if run.boot_id else None
    there = began is not None and run.slot is not None and began <= run.slot
    stood = "the gateway stood still (the machine slept, or its clock was put forward)"
    back = _stamp(run.claimed_at, told.zone)
    silent = told.silent_since
    if there:
        who = f"{stood} and looked again at {back}"
    elif silent is not None and began is not None and silent <= began:
        who = down(silent, began, told.zone)
    else:
        who = f"no gateway ran then; one looked again at {back}"
    many = f"; {run.count} slots share this row" if run.count > 1 else ""
    late = run.reason is _R.MISSED_GRACE_EXCEEDED
    grace = ", too late to make up for it" if late else ""
    return f"nothing served its slot: {who}{grace}{many}"


def _trigger(run: Run) -> str:
    asked = run.wake.get("by") or run.wake.get("source")
    match run.trigger:
        case Trigger.SCHEDULE:
            return "it was its slot"
        case Trigger.CATCHUP:
            return "it made up for its slot, which was missed"
        case Trigger.MANUAL:
            return "somebody ran it by hand"
        case Trigger.RETRY:
            return f"it was attempt {run.attempt}, after run {run.retry_of} failed"
        case Trigger.BACKFILL:
            return "it was made up for by hand (engine cron backfill)"
        case Trigger.WAKE:
            return f"it was woken (by: {asked or 'an event'})"


def _switched_on(run: Run) -> str:
    return "its beats were on" if run.kind == "heartbeat" else "the job was on"


def _hour(run: Run) -> str:
    if run.facts.get("outsideActiveHours"):
        return "it was outside the active hours, and asked for"
    hours = run.facts.get("activeHours")
    return f"its time had come; active {hours}" if hours else "its time had come"


def _gate(told: Recorded) -> Link:
    run = told.run
    if run.reason in _OF_THE_MODEL and _failed(told.before):
        link = _at(run, Code.GATE, Standing.WAITING)
    else:
        link = _at(run, Code.GATE)
    if link is not None:
        return link
    waited = f" after {run.deferrals} waits" if run.deferrals else ""
    over = bool(run.reason is not None and not _began(run))
    return ok(Code.GATE, f"nothing else held it back{waited}" if over else f"it began{waited}")


def _checklist(run: Run) -> Link:
    if (link := _at(run, Code.CHECKLIST)) is not None:
        return link
    file = run.facts.get("file")
    if run.kind != "heartbeat":
        return ok(Code.CHECKLIST, "the job says what to do")
    if not isinstance(file, Mapping):
        return unknown(Code.CHECKLIST, _NOT_BEGUN)
    if file.get("missing"):
        return ok(Code.CHECKLIST, "there was no HEARTBEAT.md; the agent is asked without one")
    asked_file = run.facts.get("kind") != "event" and run.wake.get("intent") == "scheduled"
    if file.get("empty") and asked_file and not run.facts.get("tasks"):
        return objection(_R.EMPTY_HEARTBEAT_FILE)
    return ok(Code.CHECKLIST, f"HEARTBEAT.md had {file.get('bytes') or 0} bytes")


# -- the agent and after ---------------------------------------------------------------------


def _began(run: Run) -> bool:
    return run.status in (RunStatus.OK, RunStatus.FAILED, RunStatus.RUNNING)


def _failed(run: Run | None) -> bool:
    return run is not None and run.status is RunStatus.FAILED


def _model(told: Recorded) -> Link:
    run = told.run
    if run.reason in _OF_THE_MODEL and told.before is not None and _failed(told.before):
        kind, why, fix = after.failure(told.before, run.agent_id or "main")
        return broken(Code.MODEL, kind, f"the agent had failed before: {why}", fix)
    if run.status is RunStatus.FAILED and (run.reason is None or place(run.reason) is Code.MODEL):
        kind, why, fix = after.failure(run, run.agent_id or "main")
        if run.kind == "cron" and fix.startswith("engine chat"):
            fix = f"engine cron show {run.job_id}"
        return broken(Code.MODEL, kind, why, fix)
    if (link := _at(run, Code.MODEL)) is not None:
        return link
    if run.status is RunStatus.OK:
        return ok(Code.MODEL, _answered(run))
    if run.status is RunStatus.RUNNING:
        return waits(Code.MODEL, "running", "it is still at work")
    return unknown(Code.MODEL, _NOT_BEGUN)


def _answered(run: Run) -> str:
    took = ""
    if run.started_at is not None and run.ended_at is not None:
        took = f" in {(run.ended_at - run.started_at).total_seconds():.1f} s"
    session = f", in session {run.session_key}" if run.session_key else ""
    spent = f", {run.usage.total_tokens} tokens" if run.usage is not None else ""
    return f"{run.model or 'it'} answered{took}{session}{spent}"


def _reply(told: Recorded) -> Link:
    run = told.run
    if run.reply.get("sentTo"):
        return ok(Code.REPLY, "it sent a message itself, with the message tool")
    if (link := _at(run, Code.REPLY)) is not None:
        return link
    if run.status is not RunStatus.OK:
        return unknown(Code.REPLY, "there is no answer to look at")
    if run.reply.get("eventId"):
        return _handed(told)
    if run.outcome is not None and run.outcome in after.NOTHING_TO_SAY:
        reason, did = after.NOTHING_TO_SAY[run.outcome]
        return broken(Code.REPLY, reason, f"the agent {did}", after.ITS_CHOICE)
    return ok(Code.REPLY, "there was something to say")


def _handed(told: Recorded) -> Link:
    """A job of the main session: its text is an event, for the agent's next turn."""
    agent = told.run.agent_id or "its agent"
    event = told.event
    if event is None:
        return unknown(
            Code.REPLY, f"its text was handed to {agent}; the event is not kept any more"
        )
    if event.seen_by_run is not None:
        return ok(Code.REPLY, f"its text was handed to {agent}, which read it in a conversation")
    return waits(Code.REPLY, "no-pending-event", f"its text waits for the next turn of {agent}")


def _target(run: Run) -> Link:
    if (link := _at(run, Code.TARGET)) is not None:
        return link
    target = run.target
    if target.get("channel"):
        where = _place(target)
        return ok(Code.TARGET, f"its words {'went' if run.delivery_key else 'would go'} to {where}")
    if (reason := target.get("reason")) in set(SkipReason) and place(_R(reason)) is Code.TARGET:
        return objection(_R(reason), str(target.get("because") or ""))
    if run.kind == "cron" and run.outcome is Outcome.ALERT and not run.reply.get("sentTo"):
        what = "the job's delivery is none: what it says is kept and goes to nobody"
        return broken(Code.TARGET, "none", what, f"engine cron edit {run.job_id} --announce")
    return unknown(Code.TARGET, _NOT_BEGUN if not _began(run) else "no message was to be sent")


def _place(target: Mapping[str, Any]) -> str:
    account = target.get("accountId")
    whose = f"/{account}" if account not in (None, "", "default") else ""
    return f"{target['channel']}{whose} → {target.get('to') or '?'} ({target.get('via') or '?'})"


def _policy(run: Run) -> Link:
    if (link := _at(run, Code.POLICY)) is not None:
        return link
    shown = run.facts.get("shown")
    if isinstance(shown, Mapping) and shown.get("alerts") is False:
        return objection(_R.ALERTS_DISABLED, "alerts of beats were switched off (showAlerts)")
    if run.target.get("reason") == _R.DM_BLOCKED.value:
        return objection(_R.DM_BLOCKED, str(run.target.get("because") or ""))
    return (
        ok(Code.POLICY, "alerts might be sent") if _began(run) else unknown(Code.POLICY, _NOT_BEGUN)
    )


def _delivery(run: Run, told: Delivery | None) -> Link:
    if (link := _at(run, Code.DELIVERY)) is not None:
        return link
    if run.reply.get("sentTo"):
        where = ", ".join(f"{one.get('channel')}:{one.get('to')}" for one in run.reply["sentTo"])
        return ok(Code.DELIVERY, f"its message went to {where}")
    if told is not None and told.state is State.CANCELLED:
        what = f"its message was withdrawn ({told.reason or 'no reason on record'})"
        fix = f"engine outbox list --state {told.state}"
        return broken(Code.DELIVERY, told.reason or "cancelled", what, fix)
    gone = run.delivery_key is not None
    return after.delivery(
        told, "its message is not kept any more" if gone else "it made no message"
    )
