"""What a job's work amounts to, where its words go, and what that means for the job."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.agents.base import AgentFailure, FailureClass, ToolCall, TurnReply
from engine.cron.outcome import (
    Consequences,
    Fate,
    answered,
    consequences,
    failed,
    printed,
    spoken,
    unanswered,
)
from engine.decisions.troubles import split_fix
from engine.messages.address import Route
from engine.messages.route import NoRoute
from jobs.entries import run_entry
from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger
from jobs.model import AgentTurn, DeliverySpec, Job, JobState, Source
from jobs.policies import Policies, Retries
from jobs.retry import RetryPolicy
from jobs.schedule import At, Every

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RUN = Run(
    id="r1",
    job_id="brief",
    kind="cron",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.RUNNING,
    slot=NOON,
)
RECURRING = Job(
    id="brief",
    name="Brief",
    schedule=Every(HOUR),
    payload=AgentTurn(message="brief me"),
    delivery=DeliverySpec(mode="announce"),
)
ONE_SHOT = replace(RECURRING, schedule=At(NOON), delete_after_run=True)
CHAT = Route(channel="telegram", account_id="default", to="42")
OK = replace(RUN, status=RunStatus.OK, ended_at=NOON)
SKIPPED = RUN.skipped(SkipReason.EMPTY_EVENT, "it is empty", NOON)
FAILED = RUN.failed("timeout", "too slow", NOON)
POLICY = RetryPolicy()
BEFORE = JobState()


def failed_before(times: int) -> JobState:
    return JobState(consecutive_errors=times, error_count=times)


def said(*payloads: str, calls: tuple[ToolCall, ...] = ()) -> TurnReply:
    return TurnReply(payloads=payloads, tool_calls=calls, model="m", provider="p")


def sent(**arguments: str) -> ToolCall:
    return ToolCall(name="message", arguments=arguments)


# -- what it amounts to ----------------------------------------------------------------------


def test_an_answer_is_the_deliverable() -> None:
    done = answered(RUN, said("Rain at four."), NOON, response_prefix="[bot]")
    assert (done.run.status, done.run.outcome) == (RunStatus.OK, Outcome.ALERT)
    assert done.verdict is not None
    assert done.verdict.text == "[bot] Rain at four."
    assert (done.run.model, done.run.ended_at) == ("m", NOON)


@pytest.mark.parametrize("words", ["HEARTBEAT_OK", "NO_REPLY", "no_reply"])
def test_a_bare_token_says_that_there_is_nothing_to_say(words: str) -> None:
    assert answered(RUN, said(words), NOON).run.outcome is Outcome.ACKNOWLEDGED


def test_the_remains_of_a_broken_turn_are_a_failure() -> None:
    done = answered(RUN, said("[tool_call]"), NOON)
    assert (done.run.status, done.failure, done.verdict) == (RunStatus.FAILED, "internal", None)
    assert done.run.reply["rawText"] == "[tool_call]"


def test_an_agent_that_fails_leaves_its_class_and_its_words() -> None:
    done = unanswered(RUN, AgentFailure(FailureClass.RATE_LIMIT, "slow down"), NOON)
    assert done.run.error == {"class": "rate_limit", "message": "slow down"}
    assert (done.run.outcome, done.failure) == (Outcome.FAILED, "rate_limit")
    assert unanswered(RUN, None, NOON).run.because == "the agent did not answer"


@pytest.mark.parametrize(
    ("out", "err", "text"),
    [
        (b"all well\n", b"", "all well"),
        (b"", b"a warning\n", "a warning"),
        (b"one\n", b"two\n", "stdout:\none\n\nstderr:\ntwo"),
    ],
)
def test_a_command_says_what_it_prints(out: bytes, err: bytes, text: str) -> None:
    done = printed(RUN, 0, out, err, NOON, cut=False)
    assert (done.run.status, done.run.reply["rawText"]) == (RunStatus.OK, text)
    assert done.run.facts == {"exitCode": 0}


def test_a_command_that_prints_nothing_has_nothing_to_say() -> None:
    assert printed(RUN, 0, b"", b"", NOON, cut=False).run.outcome is Outcome.EMPTY


def test_output_that_was_cut_says_so() -> None:
    done = printed(RUN, 0, b"much", b"", NOON, cut=True)
    assert done.run.reply["rawText"] == "much\n[cut: the output was longer]"


@pytest.mark.parametrize(
    ("code", "because"), [(3, "exit status 3: no disk"), (-9, "signal 9: no disk")]
)
def test_a_command_that_ends_badly_failed(code: int, because: str) -> None:
    done = printed(RUN, code, b"half", b"no disk", NOON, cut=False)
    assert (done.run.status, done.run.because) == (RunStatus.FAILED, because)
    assert done.run.reply["rawText"] == "stdout:\nhalf\n\nstderr:\nno disk"


# -- where it goes ---------------------------------------------------------------------------


def test_words_go_where_the_job_says() -> None:
    run, (delivery,) = spoken(RECURRING, answered(RUN, said("Rain."), NOON), CHAT, NOON)
    assert (delivery.key, delivery.text, delivery.route) == ("brief:r1:0", "Rain.", CHAT)
    assert (delivery.expires_at, run.delivery_key) == (NOON + 24 * HOUR, delivery.key)
    assert run.target["to"] == "42"


def test_words_without_a_way_are_kept_with_the_reason() -> None:
    nowhere = NoRoute(SkipReason.NO_ROUTE, "nobody wrote yet")
    run, deliveries = spoken(RECURRING, answered(RUN, said("Rain."), NOON), nowhere, NOON)
    assert (run.status, run.reason, deliveries) == (RunStatus.OK, SkipReason.NO_ROUTE, [])
    assert run.reply["rawText"] == "Rain."


@pytest.mark.parametrize(
    ("call", "repeated"),
    [
        (sent(), True),
        (sent(channel="telegram", to="42"), True),
        (sent(channel="telegram", to="43"), False),
        (sent(channel="qqbot"), False),
        (replace(sent(), failed=True), False),
        (replace(sent(), name="read"), False),
    ],
)
def test_what_the_agent_sent_there_itself_is_not_sent_again(call: ToolCall, repeated: bool) -> None:
    run, deliveries = spoken(
        RECURRING, answered(RUN, said("Rain.", calls=(call,)), NOON), CHAT, NOON
    )
    assert (run.reason is SkipReason.DUPLICATE) is repeated
    assert bool(deliveries) is not repeated


def test_a_job_nobody_wants_to_hear_says_nothing() -> None:
    quiet = replace(RECURRING, delivery=DeliverySpec(mode="none"))
    run, deliveries = spoken(quiet, answered(RUN, said("Rain."), NOON), CHAT, NOON)
    assert (run.target, run.reason, deliveries) == ({}, None, [])


@pytest.mark.parametrize(
    "done",
    [answered(RUN, said("NO_REPLY"), NOON), failed(RUN, FailureClass.TIMEOUT, "slow", NOON)],
    ids=["silent", "failed"],
)
def test_nothing_to_say_is_not_sent(done: object) -> None:
    assert spoken(RECURRING, done, CHAT, NOON)[1] == []  # type: ignore[arg-type]  # of a table


# -- what it means for the job ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "run", "fate"),
    [
        (RECURRING, OK, Fate.KEPT),
        (RECURRING, SKIPPED, Fate.KEPT),
        (ONE_SHOT, OK, Fate.REMOVED),
        (ONE_SHOT, SKIPPED, Fate.SWITCHED_OFF),
        (replace(ONE_SHOT, delete_after_run=False), OK, Fate.SWITCHED_OFF),
        (replace(ONE_SHOT, source=Source.CONFIG), OK, Fate.SWITCHED_OFF),
    ],
)
def test_a_job_that_ended_well_is_tried_no_more(job: Job, run: Run, fate: Fate) -> None:
    after = consequences(job, run, "", BEFORE, NOON, POLICY)
    assert after == Consequences(columns={"retry_at": None}, fate=fate)


def test_a_one_shot_tried_by_hand_before_its_time_still_comes() -> None:
    early = replace(ONE_SHOT, schedule=At(NOON + HOUR))
    for run in (OK, FAILED):
        by_hand = replace(run, trigger=Trigger.MANUAL)
        assert consequences(early, by_hand, "timeout", BEFORE, NOON, POLICY) == Consequences()


def test_a_one_shot_that_failed_in_passing_is_tried_again() -> None:
    again = NOON + timedelta(seconds=30)
    after = consequences(ONE_SHOT, FAILED, "timeout", BEFORE, NOON, POLICY)
    assert after == Consequences(columns={"retry_at": again, "next_run_at": again})


@pytest.mark.parametrize(("failure", "failures"), [("auth", 1), ("timeout", 4)])
def test_a_one_shot_that_cannot_be_mended_is_switched_off(failure: str, failures: int) -> None:
    after = consequences(ONE_SHOT, FAILED, failure, failed_before(failures - 1), NOON, POLICY)
    assert after == Consequences(columns={"retry_at": None}, fate=Fate.SWITCHED_OFF)


def test_a_recurring_job_that_fails_waits() -> None:
    after = consequences(RECURRING, FAILED, "auth", failed_before(1), NOON, POLICY)
    assert after == Consequences(columns={"retry_at": NOON + timedelta(minutes=1)})


def test_a_recurring_job_that_fails_for_good_is_switched_off_and_says_why() -> None:
    after = consequences(
        RECURRING, FAILED, "auth", failed_before(POLICY.auto_disable_after - 1), NOON, POLICY
    )
    assert after.fate is Fate.SWITCHED_OFF
    assert after.columns == {"retry_at": None, "auto_disabled": "consecutive-failures"}


def test_a_job_may_have_retries_of_its_own() -> None:
    own = Policies(retry=Retries(max_attempts=0, backoff=(HOUR,)))
    once, often = replace(ONE_SHOT, policies=own), replace(RECURRING, policies=own)
    assert consequences(once, FAILED, "timeout", BEFORE, NOON, POLICY).fate is Fate.SWITCHED_OFF
    after = consequences(often, FAILED, "auth", failed_before(1), NOON, POLICY)
    assert after == Consequences(columns={"retry_at": NOON + HOUR})


@pytest.mark.parametrize("run", [OK, FAILED, SKIPPED])
@pytest.mark.parametrize("job", [ONE_SHOT, RECURRING])
def test_the_end_of_a_run_leaves_a_schedule_alone_that_is_newer(job: Job, run: Run) -> None:
    planned = replace(failed_before(9), next_run_at=NOON + HOUR)
    assert consequences(job, run, "auth", planned, NOON, POLICY, moved=True) == Consequences()


def test_a_one_shot_with_nothing_to_come_is_over_however_it_was_edited() -> None:
    after = consequences(ONE_SHOT, SKIPPED, "", BEFORE, NOON, POLICY, moved=True)
    assert after.fate is Fate.SWITCHED_OFF


def test_a_one_shot_whose_wait_a_pause_ended_comes_again_when_the_pause_ends() -> None:
    held = RUN.skipped(SkipReason.PAUSED, "paused by ana", NOON)
    after = consequences(ONE_SHOT, held, "", BEFORE, NOON, POLICY)
    assert after == Consequences(columns={"retry_at": NOON, "next_run_at": NOON})
    assert consequences(RECURRING, held, "", BEFORE, NOON, POLICY).columns == {"retry_at": None}


@pytest.mark.parametrize("job", [ONE_SHOT, RECURRING])
def test_a_job_that_is_switched_off_already_is_neither_retried_nor_switched_off(job: Job) -> None:
    off = replace(job, enabled=False)
    after = consequences(off, FAILED, "timeout", failed_before(9), NOON, POLICY)
    assert after == Consequences(columns={"retry_at": None})


@pytest.mark.parametrize("run", [OK, FAILED])
def test_a_job_that_has_had_all_its_runs_is_over(run: Run) -> None:
    job = replace(RECURRING, policies=Policies(max_runs=3))
    over = Consequences(columns={"retry_at": None, "next_run_at": None})
    assert consequences(job, run, "auth", JobState(ok_count=1, error_count=1), NOON, POLICY) == over
    before = consequences(job, run, "auth", JobState(ok_count=1), NOON, POLICY)
    assert "next_run_at" not in before.columns
    assert consequences(job, SKIPPED, "", JobState(ok_count=2), NOON, POLICY) != over


def test_what_did_not_reach_the_model_stands_in_the_run_log() -> None:
    reply = replace(said("Rain at four."), remark="thinking high was not sent")
    entry = run_entry(answered(RUN, reply, NOON).run)
    (told,) = entry["diagnostics"]
    assert (told["source"], told["severity"], told["message"]) == (
        "model-preflight",
        "warning",
        "thinking high was not sent",
    )


def test_what_a_command_complains_of_is_no_remedy_of_ours() -> None:
    done = printed(RUN, 1, b"", b"broken. Fix: engine status; rm -rf ~", NOON, cut=False)
    assert split_fix(str((done.run.error or {})["message"]))[1] == ""
