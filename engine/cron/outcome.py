"""What a job's work amounts to: its row, its message, what that means for the job. Pure.

Execution and delivery are two facts (cron.md §10.3): a run that did its work is `ok`, and
what became of its words stands in the outbox. Words nobody wanted are recorded as not sent,
with the reason, and kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from engine.agents.base import AgentFailure, FailureClass, TurnReply, used
from engine.agents.secrets import redacted
from engine.messages.address import Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.kept import UNSENT
from engine.messages.outbox import expiry
from engine.messages.route import NoRoute, found_words
from engine.messages.said import no_remedy
from engine.wording.outcome import Verdict, classify
from jobs.due import coming_slot
from jobs.ledger import SCHEDULER_OFF, Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.model import DeliverySpec, Job, JobState, Source
from jobs.policies import Retries
from jobs.retry import RetryPolicy, after_one_shot, after_recurring, early
from jobs.schedule import At
from jobs.values import changed, swift

_SENT_BY_TOOL = "message"
# Whoever ran it by hand, or for a slot of the past, sees the failure and can do so again.
_BY_PLAN = frozenset({Trigger.SCHEDULE, Trigger.CATCHUP, Trigger.RETRY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a job's work amounts to, before anybody decided where it goes."""

    run: Run
    verdict: Verdict | None = None  # None: it failed
    failure: str = ""  # class, if it failed
    sent_to: tuple[tuple[str, str], ...] = ()  # (channel, to) the agent wrote to itself


def failed(run: Run, failure: FailureClass, words: str, at: datetime) -> Done:
    """Return what work amounts to that did not come to its end."""
    ended = changed(run.failed(failure.value, words, at), outcome=Outcome.FAILED)
    return Done(run=ended, failure=failure.value)


def unanswered(run: Run, failure: AgentFailure | None, at: datetime) -> Done:
    """Return what a turn amounts to in which the agent did not answer."""
    if failure is None:
        return failed(run, FailureClass.INTERNAL, "the agent did not answer", at)
    return failed(run, failure.failure, failure.message, at)


def answered(run: Run, reply: TurnReply, at: datetime, *, response_prefix: str = "") -> Done:
    """Return what a turn amounts to in which the agent answered."""
    verdict = classify(reply.payloads, mode="cron", response_prefix=response_prefix)
    who = {"usage": reply.usage, "model": reply.model, "provider": reply.provider}
    done = _said(run, verdict, "\n".join(reply.payloads), at, **who)
    if reply.remark:
        words = {**done.run.reply, "remark": reply.remark}
        done = changed(done, run=changed(done.run, reply=words))
    if calls := used(reply.tool_calls):
        done = changed(done, run=changed(done.run, reply={**done.run.reply, "tools": calls}))
    if verdict.outcome is Outcome.FAILED:
        return failed(done.run, FailureClass.INTERNAL, verdict.because, at)
    sent = tuple(
        (str(call.arguments.get("channel") or ""), str(call.arguments.get("to") or ""))
        for call in reply.tool_calls
        if call.name == _SENT_BY_TOOL and not call.failed
    )
    if not sent:
        return done
    told_by_tool = [{"channel": channel, "to": to} for channel, to in sent]
    kept = changed(done.run, reply={**done.run.reply, "sentTo": told_by_tool})
    return changed(done, run=kept, sent_to=sent)


def printed(run: Run, code: int, out: bytes, err: bytes, at: datetime, *, cut: bool) -> Done:
    """Return what a command amounts to that ended by itself; ``cut``: it said more than this.

    Standard output is its answer, else standard error, both as a labelled block (cron.md §8).
    """
    said, complained = (part.decode(errors="replace").strip() for part in (out, err))
    both = f"stdout:\n{said}\n\nstderr:\n{complained}"
    text = both if said and complained else said or complained
    if cut:
        text += "\n[cut: the output was longer]"
    facts = {**run.facts, "exitCode": code}
    if code == 0:
        verdict = classify([text] if text else [], mode="cron")
        return _said(run, verdict, text, at, facts=facts)
    what = f"signal {-code}" if code < 0 else f"exit status {code}"
    words = redacted(f"{what}: {no_remedy(complained or said)[-500:] or 'no words'}")
    done = failed(run, FailureClass.INVALID, words, at)
    return changed(done, run=changed(done.run, facts=facts, reply={"rawText": text}))


def _said(run: Run, verdict: Verdict, raw: str, at: datetime, **more: Any) -> Done:
    words = {"rawText": raw, "preview": verdict.preview, "droppedText": verdict.dropped}
    ended = changed(
        run,
        status=RunStatus.OK,
        outcome=verdict.outcome,
        reply={key: value for key, value in words.items() if value},
        ended_at=at,
        **more,
    )
    return Done(run=ended, verdict=verdict)


def more_places(spec: DeliverySpec) -> list[Mapping[str, Any]]:
    """Return where else a job's words go: its other targets, and a completion webhook (§10.1)."""
    completion = spec.extra.get("completionDestination")
    return [*spec.extra.get("also", ()), *([completion] if completion else [])]


def spoken(
    job: Job,
    done: Done,
    found: Route | NoRoute,
    now: datetime,
    *,
    others: Sequence[tuple[Mapping[str, Any], Route | NoRoute]] = (),
) -> tuple[Run, list[Delivery]]:
    """Return the row of a job's work, and the messages it makes if there is something to say."""
    run, verdict = done.run, done.verdict
    if verdict is None or (job.delivery.mode == "none" and not others):
        return run, []  # it failed, or nobody asked for its words
    requested = job.delivery.channel or job.delivery.mode
    effort = {"bestEffort": True} if job.delivery.best_effort else {}
    target = {"requested": requested, **effort, **found_words(found)}
    if others:
        target["also"] = [found_words(way) for _, way in others]
    if verdict.outcome is not Outcome.ALERT:
        return changed(run, target=target), []
    ways = {(way.channel, way.lane): way for _, way in others if isinstance(way, Route)}
    if isinstance(found, Route):
        ways.pop((found.channel, found.lane), None)  # nobody is told twice
    made = [
        _delivery(job, run, way, verdict.text, number, now)
        for number, way in enumerate(ways.values(), 1)
    ]
    if isinstance(found, NoRoute) and job.delivery.mode == "none":
        return changed(run, target=target), made
    if verdict.text != run.reply.get("rawText") and isinstance(found, NoRoute):
        run = changed(run, reply={**run.reply, UNSENT: verdict.text})
    if isinstance(found, NoRoute):
        return changed(run, target=target, reason=found.reason, because=found.because), made
    if any(_same_place(sent, found) for sent in done.sent_to):
        words = "the agent sent it there itself with the message tool"
        return changed(run, target=target, reason=SkipReason.DUPLICATE, because=words), made
    first = _delivery(job, run, found, verdict.text, 0, now)
    return changed(run, target=target, delivery_key=first.key), [first, *made]


def _delivery(job: Job, run: Run, route: Route, text: str, number: int, now: datetime) -> Delivery:
    at, life = run.ended_at or now, job.delivery.deliver_by
    return Delivery(
        key=f"{job.id}:{run.id}:{number}",
        route=route,
        text=text,
        kind="cron",
        created_at=at,
        expires_at=expiry("cron", at) if life is None else at + life,
        agent_id=run.agent_id,
        run_id=run.id,
        job_id=job.id,
        priority=Priority.CRON,
    )


def _same_place(sent: tuple[str, str], route: Route) -> bool:
    channel, to = sent
    return channel in ("", route.channel) and to in ("", route.to)


class Fate(StrEnum):
    """What becomes of a job when one of its runs has ended."""

    KEPT = "kept"
    SWITCHED_OFF = "switched-off"
    REMOVED = "removed"


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What the end of a run changes at its job."""

    columns: Mapping[str, Any] = field(default_factory=dict)  # beside the usual counters
    fate: Fate = Fate.KEPT


def consequences(
    job: Job,
    run: Run,
    failure: str,
    before: JobState,
    now: datetime,
    policy: RetryPolicy,
    *,
    moved: bool = False,
) -> Consequences:
    """Return what a run's end changes at its job (cron.md §9); ``before`` does not count it.

    ``moved``: the job got another schedule during the run. What was planned by it stands
    (cron.md §7), for the run served the old one.
    """
    one_shot = isinstance(job.schedule, At)
    moved = moved and not (one_shot and before.next_run_at is None)  # there is nothing to come
    if _before_its_time(job, run, now) or (moved and one_shot):
        return Consequences()
    if _was_the_last(job, run, before):
        return Consequences(columns={"retry_at": None, "next_run_at": None})
    if moved:
        return Consequences()
    if run.status is RunStatus.FAILED:
        again = _own(policy, job.policies.retry)
        if isinstance(job.schedule, At):
            return _after_one_shot(job, failure, before.consecutive_errors + 1, now, again)
        return _after_recurring(job, run, failure, before, now, again)
    if run.because == SCHEDULER_OFF:
        return Consequences()  # it is made up for when jobs are on again
    if run.reason is SkipReason.PAUSED and isinstance(job.schedule, At):
        return Consequences(columns={"retry_at": now, "next_run_at": now})  # when it goes on
    fate = _served(job, run) if isinstance(job.schedule, At) else Fate.KEPT
    return Consequences(columns={"retry_at": None, **_at_its_slot(job, before)}, fate=fate)


def _was_the_last(job: Job, run: Run, before: JobState) -> bool:
    """Whether a recurring job has had all its runs now (cron.md §22 row 13)."""
    most = job.policies.max_runs
    ran = run.status in (RunStatus.OK, RunStatus.FAILED)
    return ran and most is not None and before.ok_count + before.error_count + 1 >= most


def _own(policy: RetryPolicy, own: Retries | None) -> RetryPolicy:
    """Return the retries of the config, but for what the job says itself (cron.md §9.2)."""
    if own is None:
        return policy
    return changed(
        policy,
        max_attempts=policy.max_attempts if own.max_attempts is None else own.max_attempts,
        backoff=own.backoff or policy.backoff,
        recurring=own.backoff or policy.recurring,
        retry_on=policy.retry_on if own.retry_on is None else own.retry_on,
    )


def _before_its_time(job: Job, run: Run, now: datetime) -> bool:
    """Whether somebody tried a one-shot by hand: its own instant still stands (cron.md §8)."""
    by_hand = run.trigger is Trigger.MANUAL
    return by_hand and isinstance(job.schedule, At) and job.schedule.at > now


def _after_one_shot(
    job: Job, failure: str, failures: int, now: datetime, policy: RetryPolicy
) -> Consequences:
    if not job.enabled:
        return Consequences(columns={"retry_at": None})  # somebody switched it off already
    verdict = after_one_shot(failure, failures, now, policy)
    if verdict.retry_at is None:
        return Consequences(columns={"retry_at": None}, fate=Fate.SWITCHED_OFF)
    return Consequences(columns={"retry_at": verdict.retry_at, "next_run_at": verdict.retry_at})


def _after_recurring(
    job: Job, run: Run, failure: str, before: JobState, now: datetime, policy: RetryPolicy
) -> Consequences:
    """Wait as the table says, or try once more before the next slot comes (cron.md §9.2)."""
    at_slot = _at_its_slot(job, before)
    if not job.enabled:
        return Consequences(columns={"retry_at": None, **at_slot})
    failures = before.consecutive_errors + 1
    verdict = after_recurring(failures, now, policy)
    if verdict.disable:
        gone = {"retry_at": None, "auto_disabled": "consecutive-failures"}
        return Consequences(columns=gone, fate=Fate.SWITCHED_OFF)
    coming = coming_slot(job.schedule, before.next_run_at, before.retry_at)
    again = early(failure, failures, now, policy) if run.trigger in _BY_PLAN else None
    if again is not None and coming is not None and again < coming:
        return Consequences(columns={"retry_at": again, "next_run_at": again})
    return Consequences(columns={"retry_at": verdict.retry_at, **at_slot})


def _at_its_slot(job: Job, before: JobState) -> dict[str, Any]:
    """Return what puts a recurring job back to its slot that was to be tried again before it."""
    slot = coming_slot(job.schedule, before.next_run_at, before.retry_at)
    return {} if slot == before.next_run_at else {"next_run_at": slot}


def _served(job: Job, run: Run) -> Fate:
    """A one-shot that is over: gone if it succeeded and asked for that, else switched off.

    See cron.md §9.1. One of the config stays, whatever it asks: its row is what says that
    its instant has been served (§13).
    """
    succeeded = run.status is RunStatus.OK
    gone = job.delete_after_run and succeeded and job.source is not Source.CONFIG
    return Fate.REMOVED if gone else Fate.SWITCHED_OFF
