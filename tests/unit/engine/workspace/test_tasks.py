"""`tasks:` of a HEARTBEAT.md: what a task may ask for, and what is said about what it may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.workspace.tasks import Task, due_tasks, read, task_at

SHANGHAI = ZoneInfo("Asia/Shanghai")
FRIDAY = datetime(2026, 6, 5, 2, 0, tzinfo=UTC)  # 10:00 in Shanghai
HOUR = timedelta(hours=1)


def one(*lines: str) -> Task:
    tasks, _, warnings = read(text(*lines))
    assert not warnings
    return tasks[0]


def text(*lines: str) -> str:
    return "tasks:\n- name: a\n  prompt: A\n" + "".join(f"  {line}\n" for line in lines)


def test_a_task_that_asks_for_nothing_else_rides_on_the_beat() -> None:
    assert not one("interval: 1h", "days: mon-fri", "activeHours: 09:00-18:00").own


@pytest.mark.parametrize(
    "asks",
    ["model: a/b", "target: telegram:42", "budget: 5 runs", "retry: 2"],
)
def test_what_asks_for_something_of_its_own_is_a_job(asks: str) -> None:
    assert one("interval: 1h", asks).own
    assert one("cron: 0 9 * * 1-5").own


def test_a_budget_is_that_of_a_day() -> None:
    budget = one("interval: 1h", "budget: 20000 tokens, $0.50 a day, 5 runs").budget
    assert budget is not None
    assert (budget.tokens_per_day, budget.cost_per_day, budget.runs_per_day) == (20000, 0.5, 5)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("cron: 61 * * * *",), "61"),
        (("interval: 1h", "cron: 0 9 * * *"), "both interval and cron"),
        (("interval: 1h", "activeHours: 09:00"), "has no end"),
        (("interval: 1h", "activeHours: 9-18"), "HH:MM"),
        (("interval: 1h", "days: moonday"), "is no weekday"),
        (("interval: 1h", "budget: much"), "cannot be read"),
        (("interval: 1h", "retry: often"), "is no number"),
        (("interval: 1h", "priority: urgent"), "is not known"),
        (("cron: 0 9 * * *", "tz: Mars/Base"), "Mars/Base"),
    ],
)
def test_a_task_that_cannot_be_meant_is_skipped_with_a_word(
    lines: tuple[str, ...], words: str
) -> None:
    tasks, _, warnings = read(text(*lines))
    assert tasks == ()
    assert warnings[0].startswith("HEARTBEAT.md line 2: task 'a' is skipped: ")
    assert words in warnings[0]


def test_a_task_is_due_in_its_own_window_only() -> None:
    task = one("interval: 1h", "days: mon-fri", "activeHours: 09:00-12:00")
    assert due_tasks((task,), {}, FRIDAY, FRIDAY, SHANGHAI)
    for slot in (FRIDAY + 2 * HOUR, FRIDAY + timedelta(days=1)):
        assert not due_tasks((task,), {}, slot, slot, SHANGHAI)
    later = FRIDAY + 2 * HOUR
    monday = datetime(2026, 6, 8, 1, 0, tzinfo=UTC)
    assert task_at(task, FRIDAY, later, SHANGHAI) == monday


def test_what_is_urgent_is_asked_first() -> None:
    tasks, _, _ = read(
        text("interval: 0") + "- name: b\n  interval: 0\n  prompt: B\n  priority: high\n"
    )
    assert [task.name for task in due_tasks(tasks, {}, FRIDAY, FRIDAY, SHANGHAI)] == ["b", "a"]
