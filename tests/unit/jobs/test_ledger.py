"""The ledger's values: how a run ends, and what requests cost together."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.ledger import Run, RunStatus, SkipReason, Trigger, Usage

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
RUN = Run(
    id="r1",
    job_id="brief",
    kind="cron",
    agent_id=None,
    trigger=Trigger.SCHEDULE,
    status=RunStatus.CLAIMED,
)


def test_a_run_that_does_not_begin_says_why() -> None:
    run = RUN.skipped(SkipReason.BACKOFF, "it waits", NOON)
    assert (run.status, run.reason, run.because) == (
        RunStatus.SKIPPED,
        SkipReason.BACKOFF,
        "it waits",
    )
    assert (run.ended_at, run.error) == (NOON, None)


@pytest.mark.parametrize(("because", "told"), [("", "too slow"), ("see the log", "see the log")])
def test_a_failed_run_keeps_its_error_and_tells_it_or_other_words(because: str, told: str) -> None:
    run = RUN.failed("timeout", "too slow", NOON, because=because)
    assert run.error == {"class": "timeout", "message": "too slow"}
    assert (run.status, run.because) == (RunStatus.FAILED, told)
    assert run.reason is SkipReason.AGENT_RUNNER_FAILURE


def test_what_two_requests_cost_is_known_only_if_both_are() -> None:
    one = Usage(input_tokens=1, output_tokens=2, cache_read_tokens=3, cost_usd=0.5)
    both = one + Usage(input_tokens=10, cache_write_tokens=4, cost_usd=0.25)
    assert both == Usage(
        input_tokens=11,
        output_tokens=2,
        cache_read_tokens=3,
        cache_write_tokens=4,
        cost_usd=0.75,
    )
    assert (one + Usage()).cost_usd is None
