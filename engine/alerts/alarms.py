"""When a job's trouble is told to a person, and in which words (cron.md §10.4, §22 row 18). Pure.

What was told stands in the job's ``alarm`` state, so that nobody is told twice: ``openMs``
since when a trouble is being told, ``lastMs`` when it was told last, ``lastOkMs`` the last
success, ``overdueSinceMs`` a dead man's alarm, ``key`` the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from engine.agents.secrets import redacted
from engine.messages.route import TargetWish
from jobs.duration import format_duration
from jobs.ledger import Run, RunStatus
from jobs.model import HeartbeatBeat, Job, JobState
from jobs.policies import FailureAlert
from jobs.values import changed
from jobs.wallclock import EPOCH, MILLISECOND, ms

PassedOver = tuple[Job, Sequence[Run]]  # a job, and the rows of one claim of it

ERROR_MOST: Final = 200  # characters of an error in a chat
_PLAIN: Final = FailureAlert()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRules:
    """What the config says about alarms: `cron.failureAlert`, `cron.failureDestination`."""

    alert: FailureAlert | None = None  # None: only jobs that ask for it, or have a place for it
    destination: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Words for a person, and what is remembered of having said them."""

    text: str
    state: Mapping[str, Any]


def rule_of(job: Job, rules: AlertRules) -> FailureAlert | None:
    """Return the rule in force for a job; None if nobody wants to know."""
    own = job.policies.failure_alert
    if isinstance(own, FailureAlert):
        return own
    if own is False or job.delivery.best_effort:
        return None
    has_place = bool(job.delivery.extra.get("failureDestination") or rules.destination)
    return rules.alert or (_PLAIN if has_place else None)


def after_run(
    job: Job,
    before: JobState,
    run: Run,
    now: datetime,
    *,
    rule: FailureAlert | None,
    failure: str = "",
    switched_off: bool = False,
) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return the alarm state after a run, if it changes, and words if somebody is told."""
    alarm = dict(before.alarm)
    match run.status:
        case RunStatus.OK:
            return succeeded(job, alarm, now)
        case RunStatus.FAILED if switched_off:
            text = f"{_headline(job, before, run)}\n{_switched_off(job)}"
            return opened(alarm, now), text
        case RunStatus.FAILED:
            count = before.consecutive_errors + 1
            words = failed(job, count, run, failure)
        case RunStatus.SKIPPED if rule is not None and rule.include_skipped:
            count = before.consecutive_skipped + 1
            reason = run.reason.value if run.reason else run.because
            words = f'Cron job "{job.name}" skipped {count} times\nSkip reason: {reason}'
        case _:
            return None, None
    if rule is None or count < rule.after or _cooling(alarm, rule, now):
        return None, None
    return opened(alarm, now), words


def after_claim(
    job: Job, state: JobState, rows: Sequence[Run], now: datetime, *, rule: FailureAlert | None
) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return the same for slots that were skipped as they were claimed; ``state`` counts them."""
    skipped = skips(rows, rule)
    if not skipped:
        return None, None
    before = changed(state, consecutive_skipped=max(state.consecutive_skipped - 1, 0))
    return after_run(job, before, skipped[-1], now, rule=rule)


def skips(rows: Sequence[Run], rule: FailureAlert | None) -> list[Run]:
    """Return the rows of a claim that may be worth an alarm: nobody wanted those slots to pass."""
    if rule is None or not rule.include_skipped:
        return []
    found = [run for run in rows if run.status is RunStatus.SKIPPED]
    return [run for run in found if run.reason is None or not run.reason.meant]


def overdue(job: Job, state: JobState, now: datetime, since: datetime) -> Alarm:
    """Return the dead man's alarm: no success for as long as the job may do without."""
    within = format_duration(job.policies.expect_within or timedelta())
    last = state.alarm.get("lastOkMs")
    told = f"{EPOCH + last * MILLISECOND:%Y-%m-%d %H:%MZ}" if last is not None else "never"
    text = (
        f"{subject(job)} has not succeeded for {within}\nLast success: {told}\n"
        f"See: {_record_of(job)}"
    )
    return Alarm(text=text, state={**state.alarm, "overdueSinceMs": ms(since), "lastMs": ms(now)})


def late(job: Job, state: JobState, slot: datetime, by: datetime, what: str) -> Alarm:
    """Return the alarm of a slot that was not done by its deadline."""
    text = (
        f'Cron job "{job.name}" was not done by {by:%Y-%m-%d %H:%MZ}\n'
        f"Slot: {slot:%Y-%m-%d %H:%MZ} ({what})\nSee: engine cron runs {job.id}"
    )
    return Alarm(text=text, state={**state.alarm, "lateSlotMs": ms(slot)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A budget that is used up today (cron.md §22 row 14)."""

    job: Job  # one that felt it
    because: str
    day: date  # in the zone whose days the budget counts
    own: bool  # the job's; else that of all jobs
    warns: bool  # runs go on
    low: bool = False  # it is nearly used up: the soft limit

    @property
    def key(self) -> str:
        """Whose budget it is."""
        return f"budget:{self.job.id}" if self.own else "budget"

    @property
    def told(self) -> str:
        """What is remembered of having told it: once a day, and again if runs end with it."""
        word = ":low" if self.low else ":warn" if self.warns else ""
        return f"{self.day:%Y-%m-%d}{word}"


def overspent(found: Exceeded) -> str:
    """Return the notice of a budget that is used up: what comes after it today, and the way out."""
    whose = subject(found.job) if found.own else "Cron jobs"
    budget = _budget_of(found)
    has = "has" if found.own else "have"
    if found.low:
        return f"{whose} {has} little left of the budget of today\n{found.because}"
    if found.warns:
        head = f"{whose} {has} used up the budget of today, and will run on"
        return f"{head}\n{found.because}\nRaise {budget}, or set its onExceed to skip"
    head = f"{whose} will not run any more today: the budget is used up"
    return f"{head}\n{found.because}\nRaise {budget}, or set its fallbackModel"


def _budget_of(found: Exceeded) -> str:
    if isinstance(found.job.payload, HeartbeatBeat):
        return "heartbeat.budget"
    return "budget of the job" if found.own else "cron.budget"


def _record_of(job: Job) -> str:
    if isinstance(job.payload, HeartbeatBeat):
        return f"engine why --agent {job.agent_id}"
    return f"engine cron runs {job.id}"


def wishes(job: Job, rule: FailureAlert | None, rules: AlertRules) -> list[Mapping[str, Any]]:
    """Return where an alarm may go, best first: ``{mode, channel, to, accountId}`` (§10.4)."""
    own: Mapping[str, Any] = {}
    if rule is not None:
        own = {"mode": rule.mode, "channel": rule.channel, "to": rule.to}
        own = {**own, "accountId": rule.account_id}
    given = job.delivery.extra.get("failureDestination")
    merged = {**rules.destination, **(given if isinstance(given, Mapping) else {})}
    primary = job.delivery
    found = [own, merged]
    if primary.mode == "announce":
        found.append(
            {
                "channel": primary.channel,
                "to": primary.to,
                "accountId": primary.account_id,
                "threadId": primary.thread_id,
            }
        )
    named = [place for place in found if any(place.get(key) for key in ("channel", "to", "mode"))]
    # What ails the beats themselves must not end unheard: this machine's inbox is always there.
    more = ("owner", "local") if isinstance(job.payload, HeartbeatBeat) else ()
    return [*named, *({"channel": place} for place in ("last", *more))]


def target_of(place: Mapping[str, Any]) -> TargetWish:
    """Return a place as a wish that can be resolved."""
    channel = place.get("channel")
    return TargetWish(
        target=str(channel or "last"),
        to=place.get("to"),
        account_id=place.get("accountId"),
        thread_id=place.get("threadId"),
        source="config",
    )


def succeeded(
    job: Job, alarm: Mapping[str, Any], now: datetime
) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return the alarm state after a success, if it changes, and words if a trouble was told."""
    told = alarm.get("openMs") or alarm.get("overdueSinceMs")
    watched = job.policies.expect_within is not None
    if not told and not watched:
        return None, None
    kept = {"lastOkMs": ms(now)} if watched else {}
    if not told:
        return kept, None
    since = EPOCH + int(told) * MILLISECOND
    return kept, f"{subject(job)} recovered (in trouble since {since:%Y-%m-%d %H:%MZ})"


def failed(job: Job, count: int, run: Run, failure: str) -> str:
    """Return what is told of failures in a row."""
    times = "once" if count == 1 else f"{count} times"
    lines = [f"{subject(job)} failed {times}"]
    if failure:
        lines.append(f"Cause: {failure}")
    if message := error_of(run):
        lines.append(f"Last error: {message}")
    return "\n".join(lines)


def error_of(run: Run) -> str:
    """Return the error of a run as a chat may hear it."""
    return redacted(" ".join(str((run.error or {}).get("message", "")).split()))[:ERROR_MOST]


def subject(job: Job) -> str:
    """Return what a person calls it."""
    if isinstance(job.payload, HeartbeatBeat):
        return f"Heartbeat of {job.agent_id}"
    return f'Cron job "{job.name}"'


def _headline(job: Job, before: JobState, run: Run) -> str:
    failure = str((run.error or {}).get("class", ""))
    return failed(job, before.consecutive_errors + 1, run, failure)


def _switched_off(job: Job) -> str:
    return f"It was switched off. When it is mended: engine cron enable {job.id}"


def opened(alarm: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the state of a trouble that is told now."""
    return {**alarm, "openMs": alarm.get("openMs") or ms(now), "lastMs": ms(now)}


def _cooling(alarm: Mapping[str, Any], rule: FailureAlert, now: datetime) -> bool:
    last = alarm.get("lastMs") if alarm.get("openMs") else None
    return last is not None and now < EPOCH + int(last) * MILLISECOND + rule.cooldown
