"""After a failure: the table of cron.md §9."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.retry import RetryPolicy, after_one_shot, after_recurring, early

END = datetime(2026, 6, 1, 12, tzinfo=UTC)
PLAIN = RetryPolicy()


@pytest.mark.parametrize(("failures", "seconds"), [(1, 30), (2, 60), (3, 300)])
def test_a_one_shot_is_tried_again_while_it_may_pass(failures: int, seconds: int) -> None:
    verdict = after_one_shot("rate_limit", failures, END, PLAIN)
    assert verdict.retry_at == END + timedelta(seconds=seconds)
    assert not verdict.disable


def test_a_one_shot_is_given_up_after_three_retries() -> None:
    verdict = after_one_shot("timeout", 4, END, PLAIN)
    assert (verdict.retry_at, verdict.disable) == (None, True)
    assert verdict.because == "it failed 4 times"


@pytest.mark.parametrize("failure", ["auth", "billing", "model_not_found", "invalid", "internal"])
def test_what_does_not_pass_by_itself_is_not_tried_again(failure: str) -> None:
    assert after_one_shot(failure, 1, END, PLAIN).disable


def test_the_config_may_narrow_what_is_retried() -> None:
    policy = RetryPolicy(retry_on=frozenset({"overloaded"}))
    assert after_one_shot("network", 1, END, policy).disable
    assert after_one_shot("overloaded", 1, END, policy).retry_at is not None


def test_the_last_wait_of_a_short_table_repeats() -> None:
    policy = RetryPolicy(max_attempts=5, backoff=(timedelta(seconds=5),))
    assert after_one_shot("network", 5, END, policy).retry_at == END + timedelta(seconds=5)


def test_no_attempts_means_none() -> None:
    assert after_one_shot("network", 1, END, RetryPolicy(max_attempts=0)).disable


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 30), (2, 60), (3, 300), (4, 900), (5, 3600), (9, 3600)]
)
def test_a_recurring_job_waits_longer_each_time(failures: int, seconds: int) -> None:
    verdict = after_recurring(failures, END, PLAIN)
    assert verdict.retry_at == END + timedelta(seconds=seconds)
    assert not verdict.disable


def test_ten_failures_in_a_row_switch_a_job_off() -> None:
    verdict = after_recurring(10, END, PLAIN)
    assert (verdict.disable, verdict.because) == (True, "10 failures in a row")


def test_a_job_may_fail_for_ever() -> None:
    assert not after_recurring(1000, END, RetryPolicy(auto_disable_after=0)).disable


def test_a_run_that_failed_at_once_does_not_cost_the_slot_exactly_at_its_delay() -> None:
    ended = END + timedelta(milliseconds=40)
    verdict = after_recurring(2, ended, PLAIN)
    assert verdict.retry_at == END + timedelta(seconds=60)
    assert verdict.because == "2 failures in a row"
    assert after_recurring(1, ended, PLAIN).because == "it failed"


@pytest.mark.parametrize(
    ("failure", "failures", "seconds"),
    [
        ("network", 1, 30),
        ("network", 2, 60),
        ("network", 3, 300),
        ("network", 4, None),
        ("auth", 1, None),
    ],
)
def test_a_recurring_job_is_tried_early_if_that_may_help(
    failure: str, failures: int, seconds: int | None
) -> None:
    wanted = None if seconds is None else END + timedelta(seconds=seconds)
    assert early(failure, failures, END + timedelta(milliseconds=40), PLAIN) == wanted
