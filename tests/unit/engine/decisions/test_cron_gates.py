"""Whether a scheduled run may begin: every obstacle, its words, and the order they come in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.decisions.cron_gates import PLACES, CronSnapshot, Go, Place, Whose, decide
from engine.decisions.gates import Defer, Skip
from jobs.hours import ActiveHours
from jobs.ledger import SkipReason, Spent
from jobs.policies import OVERLAPS, PLAIN, Budget, Overlap, Policies

NOW = datetime(2026, 5, 5, 7, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
SNAPSHOT = CronSnapshot(policies=PLAIN, slot=NOW, zone=ZONE)
MINUTE = timedelta(minutes=1)
EVENING = ActiveHours(20 * 60, 22 * 60, ZONE)  # 12:00 to 14:00 in UTC


def told(**facts: Any) -> Any:
    return decide(replace(SNAPSHOT, **facts), NOW)


OBSTACLES: list[tuple[dict[str, Any], SkipReason, str]] = [
    ({"cron_enabled": False}, SkipReason.DISABLED, "switched off"),
    (
        {"retry_at": NOW + MINUTE, "failures": 2},
        SkipReason.BACKOFF,
        "2 failures in a row; it waits until 2026-05-05 07:01:00Z",
    ),
    (
        {"skipped_once": "by ana: away"},
        SkipReason.CALENDAR_EXCLUDED,
        "this slot was left out by hand, by ana: away",
    ),
    (
        {"excluded": "holidays: 2026-05-05 is Labour Day"},
        SkipReason.CALENDAR_EXCLUDED,
        "holidays: 2026-05-05 is Labour Day",
    ),
    (
        {"policies": Policies(max_runs=3), "runs": 3},
        SkipReason.MAX_RUNS,
        "it has had 3 of 3 runs",
    ),
    (
        {"policies": Policies(max_runs_per_day=1), "runs_today": 1},
        SkipReason.MAX_RUNS_PER_DAY,
        "it has run 1 of 1 times today (Asia/Shanghai)",
    ),
    (
        {"policies": Policies(budget=Budget(tokens_per_day=10)), "spent": Spent(tokens=12)},
        SkipReason.BUDGET_EXHAUSTED,
        "12 of 10 tokens of today are spent",
    ),
    (
        {"budget_of_all": Budget(cost_per_day=1), "spent_by_all": Spent(usd=1.5)},
        SkipReason.BUDGET_EXHAUSTED,
        "$1.50 of $1.00 of today are spent by all jobs",
    ),
    ({"running": ("r1",)}, SkipReason.OVERLAP_SKIP, "run r1 was still going"),
    (
        {"running": ("r1",), "waiting": 1, "overlap": Overlap(policy="buffer-one")},
        SkipReason.OVERLAP_SKIP,
        "run r1 was still going, and one waits",
    ),
    (
        {"running": ("r1",), "waiting": 2, "overlap": Overlap(policy="buffer-all", most=2)},
        SkipReason.OVERLAP_SKIP,
        "2 runs wait already",
    ),
    (
        {"running": ("r1", "r2"), "overlap": Overlap(policy="allow", most=2)},
        SkipReason.OVERLAP_SKIP,
        "2 runs were still going",
    ),
    (
        {"last_end": NOW - timedelta(seconds=1), "refire_gap": timedelta(seconds=2)},
        SkipReason.OVERLAP_SKIP,
        "the run before it ended less than 2s ago",
    ),
    (
        {"policies": Policies(active_hours="skip"), "active_hours": EVENING},
        SkipReason.QUIET_HOURS,
        "it is 15:00; the agent is active 20:00-22:00 Asia/Shanghai",
    ),
]


@pytest.mark.parametrize(("facts", "reason", "words"), OBSTACLES)
def test_each_obstacle_is_a_skip_with_its_evidence(
    facts: dict[str, Any], reason: SkipReason, words: str
) -> None:
    stop = told(**facts)
    assert isinstance(stop, Skip)
    assert stop.reason is reason
    assert words in stop.because


@pytest.mark.parametrize("number", range(len(OBSTACLES) - 1))
def test_the_more_fundamental_obstacle_is_the_one_that_is_told(number: int) -> None:
    facts, reason, _ = OBSTACLES[number]
    later, _, _ = OBSTACLES[number + 1]
    both = {**later, **facts}
    if "policies" in facts and "policies" in later:
        mine, other = facts["policies"], later["policies"]
        told_by = {
            name: getattr(mine, name) or getattr(other, name)
            for name in ("max_runs", "max_runs_per_day", "budget", "active_hours")
        }
        both["policies"] = Policies(**told_by)
    stop = told(**both)
    assert isinstance(stop, Skip)
    assert stop.reason is reason


def test_nothing_in_the_way_means_go() -> None:
    assert told() == Go()
    assert told(retry_at=NOW, failures=3) == Go()
    assert told(policies=Policies(max_runs=3, max_runs_per_day=2), runs=2, runs_today=1) == Go()
    assert told(last_end=NOW - 3 * MINUTE, refire_gap=2 * MINUTE) == Go()
    assert told(active_hours=EVENING) == Go()  # the job does not ask for them


def test_a_job_that_defers_waits_for_the_window_to_open() -> None:
    stop = told(policies=Policies(active_hours="defer"), active_hours=EVENING)
    assert isinstance(stop, Defer)
    assert stop.retry_at == NOW + timedelta(hours=5)


@pytest.mark.parametrize(
    ("policy", "go"),
    [
        ("buffer-one", Go(place=Place.BEHIND)),
        ("buffer-all", Go(place=Place.BEHIND)),
        ("cancel-running", Go(replaces=("r1",), place=Place.BEHIND)),
        ("terminate-running", Go(replaces=("r1",), place=Place.BESIDE)),
        ("allow", Go(place=Place.BESIDE)),
    ],
)
def test_each_overlap_policy_makes_room_in_its_way(policy: str, go: Go) -> None:
    assert told(running=("r1",), overlap=Overlap(policy=policy)) == go


def test_a_spent_budget_with_a_cheaper_model_goes_on_with_it() -> None:
    budget = Budget(tokens_per_day=10, fallback_model="local/qwen3")
    go = told(policies=Policies(budget=budget), spent=Spent(tokens=10))
    assert isinstance(go, Go)
    assert go.model == "local/qwen3"
    assert "10 of 10 tokens" in go.because


def test_whose_budget_is_spent_is_said() -> None:
    own = {"policies": Policies(budget=Budget(runs_per_day=1)), "spent": Spent(runs=1)}
    of_all = {"budget_of_all": Budget(runs_per_day=5), "spent_by_all": Spent(runs=5)}
    assert told(**own).whose is Whose.JOB
    assert told(**of_all).whose is Whose.ALL
    assert told(**own, **of_all).whose is Whose.ALL


def test_a_budget_that_only_warns_says_so_and_one_with_a_cheaper_model_goes_before_it() -> None:
    warns = Budget(runs_per_day=5, warn_only=True)
    of_all = {"budget_of_all": warns, "spent_by_all": Spent(runs=5)}
    go = told(**of_all)
    assert (go.spent, go.model) == (Whose.ALL, None)
    assert "it only warns" in go.because
    cheaper = Policies(budget=Budget(runs_per_day=1, fallback_model="local/qwen3"))
    go = told(**of_all, policies=cheaper, spent=Spent(runs=1))
    assert (go.spent, go.model) == (Whose.JOB, "local/qwen3")


def test_every_overlap_policy_has_its_place() -> None:
    assert set(PLACES) == set(OVERLAPS)
