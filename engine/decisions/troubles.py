"""What keeps an engine that runs from doing what it is for, with the way out of each. Pure.

The parts of the process are `engine.vitals`' and the connections of accounts their channels';
here is what only the record of the last turns, runs and messages tells: a model that refuses,
a person who does not get their words, jobs that fail, beats that are switched off
(operations.md §9.5, §10).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from engine.messages.fault import remedy
from engine.messages.outbox import Undelivered
from jobs.ledger import Run, RunStatus, SkipReason

MOST: Final = 20
ALL: Final = "*"
# Words that were not sent for one of these never reached anybody, and nobody meant it so.
_LOST: Final = frozenset(
    {
        SkipReason.NO_ROUTE,
        SkipReason.NO_TARGET,
        SkipReason.TARGET_INVALID,
        SkipReason.UNKNOWN_ACCOUNT,
        SkipReason.ACCOUNT_DISABLED,
        SkipReason.DM_BLOCKED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that does not work. ``code`` is stable, ``fix`` can be pasted or done."""

    code: str
    what: str
    fix: str

    def to_json(self) -> dict[str, str]:
        """The shape of `health`."""
        return {"code": self.code, "message": self.what, "fix": self.fix}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last turns of an agent, or of its beats, failed."""

    kind: str  # class of the failure
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The newest run of a job that there still is."""

    job_id: str
    name: str
    run: Run
    failures: int = 0  # in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckLane:
    """A turn that has kept an agent's beats out for long (heartbeat.md §6.4)."""

    agent_id: str
    kind: str  # cron | chat
    run_id: str
    session_key: str
    age: str

    @property
    def what(self) -> str:
        """The sentence."""
        whose = "a job" if self.kind == "cron" else "a conversation"
        return (
            f"the beats of {self.agent_id} wait: {whose} (run {self.run_id}) has kept the agent"
            f" busy for {self.age}"
        )

    @property
    def fix(self) -> str:
        """What ends the turn."""
        if self.kind == "cron":
            return f"engine cron cancel {self.run_id}"
        params = json.dumps({"sessionKey": self.session_key})
        return f"engine gateway call chat.abort --params {shlex.quote(params)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the last turns, runs and messages."""

    turns: Mapping[str, Failure] = field(default_factory=dict)  # agents whose last turn failed
    beats: Mapping[str, Failure] = field(default_factory=dict)  # agents whose last beats failed
    undelivered: tuple[Undelivered, ...] = ()
    jobs: tuple[LastRun, ...] = ()
    aside: tuple[tuple[str, str], ...] = ()  # jobs nobody can read, with the reason
    stuck: tuple[StuckLane, ...] = ()
    asked: tuple[tuple[str, str, str], ...] = ()  # commands that wait: id, agent, name
    off: tuple[str, ...] = ()  # agents whose beats somebody switched off; `*`: all


def found(facts: Facts) -> tuple[Trouble, ...]:
    """Return what does not work, the most fundamental first."""
    every = (
        *_models(facts),
        *(_asked(*one) for one in facts.asked),
        *(Trouble(code="heartbeat.stuck_lane", what=o.what, fix=o.fix) for o in facts.stuck),
        *(_undelivered(one) for one in facts.undelivered),
        *(_aside(*one) for one in facts.aside),
        *(trouble for one in facts.jobs if (trouble := _job(one)) is not None),
        *(switched_off(agent) for agent in facts.off),
    )
    return every[:MOST]


def _asked(ident: str, agent: str, name: str) -> Trouble:
    return Trouble(
        code="exec.approval_waits",
        what=f"agent {agent} asks to run a command and waits for your answer ({ident}): {name}",
        fix="engine approvals list",  # which shows it whole: nobody allows what they have not read
    )


def _models(facts: Facts) -> Iterator[Trouble]:
    for agent, failure in facts.turns.items():
        yield _failed(agent, failure, "could not answer", f"model.{failure.kind}")
    for agent, failure in facts.beats.items():
        if agent not in facts.turns:  # told already
            times = "once" if failure.count == 1 else f"{failure.count} times in a row"
            yield _failed(agent, failure, f"failed at its beat {times}", "heartbeat.failing")


def _failed(agent: str, failure: Failure, what: str, code: str) -> Trouble:
    why, fix = split_fix(failure.message)
    told = f"agent {agent} {what}: {why or failure.kind}"
    return Trouble(code=code, what=told, fix=fix or f"engine chat --agent {agent} hello")


def split_fix(text: str) -> tuple[str, str]:
    """Return what happened and what to do about it, of a sentence that says both."""
    why, _, fix = text.partition(" Fix: ")
    return why.strip().removesuffix("."), fix.strip().removesuffix(".")


def _undelivered(one: Undelivered) -> Trouble:
    said = f": {one.detail}" if one.detail and one.detail != one.kind else ""
    account = one.route.account_id  # another bot may well have reached the same person
    by = "" if account in ("", "default", one.route.to) else f" by account {account}"
    return Trouble(
        code=f"delivery.{one.kind}",
        what=f"the last message to {one.route.whom}{by} did not arrive: {one.kind}{said}",
        fix=remedy(one.kind, one.route.channel, one.route.account_id)
        or "engine channels status --probe",
    )


def amiss(run: Run) -> bool:
    """Whether a run of a job failed, or said what nobody heard."""
    if run.reason is SkipReason.INTERRUPTED:  # a crash says nothing of the job
        return False
    return run.status is RunStatus.FAILED or (run.status is RunStatus.OK and run.reason in _LOST)


def _job(one: LastRun) -> Trouble | None:
    run = one.run
    if not amiss(run):
        return None
    if run.status is RunStatus.FAILED:
        why, fix = split_fix(str((run.error or {}).get("message") or run.because))
        times = "failed" if one.failures <= 1 else f"failed {one.failures} times in a row"
        return Trouble(
            code="cron.failing",
            what=f"cron job {one.name} {times}: {why}",
            fix=fix or f"engine cron runs {one.job_id} --human",
        )
    reason = run.reason or SkipReason.NO_ROUTE
    return Trouble(
        code="cron.unheard",
        what=f"nobody hears cron job {one.name}: {(run.because or reason.sentence).rstrip('.')}",
        fix=reason.fix_for("cron", agent=run.agent_id, job=one.job_id),
    )


def _aside(job_id: str, why: str) -> Trouble:
    told, _ = split_fix(why)
    return Trouble(
        code="cron.set_aside",
        what=f"cron job {job_id} does not run: {told.removeprefix(f'job {job_id} ')}",
        fix=f"engine cron rm {job_id}",
    )


def switched_off(agent: str) -> Trouble:
    """Return the trouble of beats somebody switched off: an agent's, or `*` for all."""
    if agent == ALL:
        return Trouble(
            code="heartbeat.off", what="heartbeats are switched off", fix="engine heartbeat enable"
        )
    return Trouble(
        code="heartbeat.off",
        what=f"the heartbeat of {agent} is switched off",
        fix=f"engine heartbeat enable {agent}",
    )
