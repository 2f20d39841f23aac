"""What an engine that runs does not do, and how to make it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import Any

import pytest

from engine.decisions.troubles import (
    ALL,
    MOST,
    Facts,
    Failure,
    LastRun,
    StuckLane,
    amiss,
    found,
    split_fix,
)
from engine.messages.address import Route
from engine.messages.outbox import Undelivered
from jobs.ledger import Run, RunStatus, SkipReason, Trigger

REFUSED = "the server answered 401: bad key. Fix: correct models.providers.local.apiKey"
RUN = Run(
    id="r1",
    job_id="j1",
    kind="cron",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.FAILED,
    error={"class": "auth", "message": REFUSED},
)
UNHEARD = replace(
    RUN, status=RunStatus.OK, error=None, reason=SkipReason.NO_ROUTE, because="nobody wrote yet"
)
ANN = Undelivered(
    route=Route(channel="telegram", account_id="default", to="42"),
    kind="blocked",
    detail="bot was blocked by the user",
)

TOLD: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"asked": (("3f9a2c", "main", "make all"),)},
        "exec.approval_waits",
        "agent main asks to run a command and waits for your answer (3f9a2c): make all",
        "engine approvals list",
    ),
    (
        {
            "stuck": (
                StuckLane(agent_id="ops", kind="cron", run_id="r7", session_key="s", age="20m"),
            )
        },
        "heartbeat.stuck_lane",
        "the beats of ops wait: a job (run r7) has kept the agent busy for 20m",
        "engine cron cancel r7",
    ),
    (
        {"turns": {"main": Failure(kind="auth", message=REFUSED)}},
        "model.auth",
        "agent main could not answer: the server answered 401: bad key",
        "correct models.providers.local.apiKey",
    ),
    (
        {"beats": {"ops": Failure(kind="", message="it is down", count=3)}},
        "heartbeat.failing",
        "agent ops failed at its beat 3 times in a row: it is down",
        "engine chat --agent ops hello",
    ),
    (
        {"undelivered": (ANN,)},
        "delivery.blocked",
        "the last message to telegram:42 did not arrive: blocked: bot was blocked by the user",
        "in the chat: unblock or start the bot",
    ),
    (
        {"undelivered": (replace(ANN, kind="expired", detail=""),)},
        "delivery.expired",
        "the last message to telegram:42 did not arrive: expired",
        "engine channels status --probe",
    ),
    (
        {"undelivered": (replace(ANN, route=replace(ANN.route, account_id="second")),)},
        "delivery.blocked",
        (
            "the last message to telegram:42 by account second did not arrive: blocked: bot was"
            " blocked by the user"
        ),
        "in the chat: unblock or start the bot",
    ),
    (
        {"jobs": (LastRun(job_id="j1", name="brief", run=RUN, failures=2),)},
        "cron.failing",
        "cron job brief failed 2 times in a row: the server answered 401: bad key",
        "correct models.providers.local.apiKey",
    ),
    (
        {"jobs": (LastRun(job_id="j1", name="brief", run=UNHEARD),)},
        "cron.unheard",
        "nobody hears cron job brief: nobody wrote yet",
        "in the chat: send the bot one message, which tells it where you are",
    ),
    (
        {"aside": (("j1", "job j1 cannot be read: kind 'odd' is not known. Fix: use at"),)},
        "cron.set_aside",
        "cron job j1 does not run: cannot be read: kind 'odd' is not known",
        "engine cron rm j1",
    ),
    (
        {"aside": (("j2", "Expecting value: line 1 column 1 (char 0)"),)},
        "cron.set_aside",
        "cron job j2 does not run: Expecting value: line 1 column 1 (char 0)",
        "engine cron rm j2",
    ),
    ({"off": (ALL,)}, "heartbeat.off", "heartbeats are switched off", "engine heartbeat enable"),
    (
        {"off": ("ops",)},
        "heartbeat.off",
        "the heartbeat of ops is switched off",
        "engine heartbeat enable ops",
    ),
]


@pytest.mark.parametrize(("facts", "code", "what", "fix"), TOLD, ids=[row[1] for row in TOLD])
def test_each_trouble_is_told_with_its_way_out(
    facts: dict[str, Any], code: str, what: str, fix: str
) -> None:
    (trouble,) = found(Facts(**facts))
    assert (trouble.code, trouble.what, trouble.fix) == (code, what, fix)
    assert set(trouble.to_json()) == {"code", "message", "fix"}


def test_all_well_is_no_trouble() -> None:
    fine = replace(RUN, status=RunStatus.OK, error=None)
    assert found(Facts(jobs=(LastRun(job_id="j1", name="brief", run=fine),))) == ()


def test_an_agent_that_cannot_answer_is_told_once_and_first() -> None:
    failure = Failure(kind="auth", message=REFUSED)
    told = found(Facts(turns={"main": failure}, beats={"main": failure}, undelivered=(ANN,)))
    assert [one.code for one in told] == ["model.auth", "delivery.blocked"]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, True),
        ({"reason": SkipReason.INTERRUPTED}, False),  # a crash says nothing of the job
        ({"status": RunStatus.OK, "reason": SkipReason.DUPLICATE}, False),
        ({"status": RunStatus.OK, "reason": SkipReason.TARGET_INVALID}, True),
        ({"status": RunStatus.SKIPPED, "reason": SkipReason.NO_ROUTE}, False),
    ],
)
def test_what_counts_is_work_that_failed_and_words_that_were_lost(
    changes: dict[str, Any], wrong: bool
) -> None:
    assert amiss(replace(RUN, **changes)) is wrong


def test_no_more_is_told_than_anybody_reads() -> None:
    jobs = tuple(LastRun(job_id=f"j{n}", name=f"n{n}", run=RUN) for n in range(MOST + 5))
    assert len(found(Facts(jobs=jobs))) == MOST


def test_a_sentence_is_split_from_its_remedy() -> None:
    assert split_fix("it broke. Fix: mend it.") == ("it broke", "mend it")
    assert split_fix("it broke") == ("it broke", "")


def test_what_ends_a_stuck_conversation_is_one_line_whatever_its_session_is_called() -> None:
    """A session may be called as a client likes: its name is pasted as data."""
    key = "agent:main:it's $(reboot)"
    lane = StuckLane(agent_id="main", kind="chat", run_id="r", session_key=key, age="20m")
    *_, params = shlex.split(lane.fix)
    assert json.loads(params) == {"sessionKey": key}
