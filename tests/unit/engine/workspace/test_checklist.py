"""HEARTBEAT.md as a beat sees it: every vector of heartbeat.md §11."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.workspace.checklist import LARGEST, effectively_empty, parse
from engine.workspace.tasks import due_tasks, is_due, next_task_at
from jobs.duration import parse_duration
from jobs.errors import InvalidSchedule
from jobs.wallclock import EPOCH

ROOT = Path(__file__).parents[4]
VECTORS: dict[str, Any] = json.loads(
    (ROOT / "tests/fixtures/heartbeat_fixtures.json").read_text(encoding="utf-8")
)
HERE = ZoneInfo("UTC")
SLOT = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def every(text: str) -> timedelta:
    return parse_duration(text, default_unit="m")


@pytest.mark.parametrize("case", VECTORS["emptiness"], ids=lambda c: repr(c["input"]))
def test_only_what_asks_for_something_makes_a_file_not_empty(case: dict[str, Any]) -> None:
    assert effectively_empty(case["input"]) is case.get("e", case["m"])


@pytest.mark.parametrize("case", VECTORS["tasks"], ids=lambda c: repr(c["input"][:40]))
def test_tasks_are_read_as_specified(case: dict[str, Any]) -> None:
    tasks = parse(case["input"].encode()).tasks
    want = [(t["name"], every(t["interval"]), t["prompt"]) for t in case.get("e", case["m"])]
    assert [(task.name, task.interval, task.prompt) for task in tasks] == want


def test_whatever_is_left_out_is_said() -> None:
    told = parse(b"tasks:\n- name: a\n  interval: banana\n  prompt: A\n  colour: red\n").warnings
    assert any("banana" in line for line in told)
    assert any("colour" in line for line in told)


def test_a_missing_file_is_not_an_empty_one() -> None:
    assert parse(None).missing
    assert not parse(None).empty


def test_a_huge_file_is_cut_with_a_mark() -> None:
    file = parse(b"x" * (LARGEST + 1))
    assert file.text.endswith("64 KiB]\n")
    assert file.warnings


def test_bytes_that_are_no_text_are_replaced_and_said() -> None:
    assert "not UTF-8" in parse(b"- look \xff").warnings[0]


def test_a_template_of_comments_costs_nothing() -> None:
    assert parse(b"# To do\n<!--\nwrite here\n-->\n- [ ]\n").empty


def test_the_shipped_example_has_something_to_do() -> None:
    example = parse((ROOT / "HEARTBEAT.md.example").read_bytes())
    assert not example.empty
    assert [task.name for task in example.tasks] == ["inbox-triage", "disk-space"]
    assert not example.warnings


@pytest.mark.parametrize("case", VECTORS["due"], ids=str)
def test_a_task_is_due_as_specified(case: dict[str, Any]) -> None:
    def at(ms: int) -> datetime:
        return EPOCH + timedelta(milliseconds=ms)

    last = None if case["last"] is None else at(case["last"])
    try:
        interval = parse_duration(case["interval"], default_unit="m", narrow=True)
    except InvalidSchedule:
        # Ours never gets as far: a task with a bad interval is left out when the file is read.
        due = False
    else:
        due = is_due(interval, last, at(case["now"]))
    assert due is case.get("e", case["m"])


@pytest.mark.parametrize("case", VECTORS["durations"], ids=lambda c: repr(c["input"]))
def test_an_interval_is_read_as_specified(case: dict[str, Any]) -> None:
    if case["ms"] is None:
        with pytest.raises(InvalidSchedule):
            parse_duration(case["input"], default_unit="m", narrow=True)
    else:
        got = parse_duration(case["input"], default_unit="m", narrow=True)
        assert got == timedelta(milliseconds=case["ms"])


def test_a_beat_that_began_late_does_not_halve_the_rate() -> None:
    task = parse(b"tasks:\n- name: a\n  interval: 30m\n  prompt: A\n").tasks
    assert due_tasks(task, {"a": SLOT - HALF_HOUR + timedelta(seconds=5)}, SLOT, SLOT, HERE)
    assert not due_tasks(task, {"a": SLOT - timedelta(minutes=20)}, SLOT, SLOT, HERE)


def test_the_next_task_is_the_one_due_first() -> None:
    tasks = parse(
        b"tasks:\n- name: a\n  interval: 30m\n  prompt: A\n- name: b\n  interval: 2h\n  prompt: B\n"
    ).tasks
    assert next_task_at(tasks, {"a": SLOT, "b": SLOT}, SLOT, HERE) == SLOT + HALF_HOUR
    assert next_task_at(tasks, {"a": SLOT}, SLOT, HERE) == SLOT  # it has never run


def test_a_task_whose_last_slot_lies_ahead_is_due_after_a_clock_step() -> None:
    assert is_due(HALF_HOUR, SLOT + timedelta(hours=2), SLOT)
    assert not is_due(HALF_HOUR, SLOT + timedelta(minutes=1), SLOT)


def test_a_task_served_in_a_newer_slot_is_not_due_in_an_older_one_that_waited() -> None:
    served = SLOT + HALF_HOUR
    assert not is_due(timedelta(hours=4), served, SLOT, now=served + timedelta(minutes=5))
    assert is_due(timedelta(hours=4), served, SLOT, now=SLOT)  # the clock was set back


def test_only_due_tasks_are_chosen() -> None:
    tasks = parse(
        b"tasks:\n- name: a\n  interval: 30m\n  prompt: A\n- name: b\n  interval: 2h\n  prompt: B\n"
    ).tasks
    last = {"a": SLOT - HALF_HOUR, "b": SLOT - HALF_HOUR}
    assert [task.name for task in due_tasks(tasks, last, SLOT, SLOT, HERE)] == ["a"]


def test_an_unknown_key_names_the_one_that_was_meant() -> None:
    told = parse(b"tasks:\n- name: a\n  intervl: 30m\n  promt: A\n").warnings
    assert "HEARTBEAT.md line 2: unknown key 'intervl', did you mean 'interval'?" in told
    assert "HEARTBEAT.md line 2: unknown key 'promt', did you mean 'prompt'?" in told
    assert any("has no interval and no prompt; it is skipped" in line for line in told)
