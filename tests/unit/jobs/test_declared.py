"""Jobs of the config: short forms, and what a new set of entries changes (cron.md §13)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.codec import revision
from jobs.declared import Act, Change, Declared, Plan, adopted, collisions, expand, key_of, plan
from jobs.edit import Rules
from jobs.model import Command, DeliverySpec, Job, JobState, Misfire, Source, StoredJob
from jobs.schedule import At, Cron, Every

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=5, minutes=7)
RULES = Rules(now=NOW, default_tz="Asia/Shanghai")
BRIEF: dict[str, Any] = {"schedule": "0 7 * * *", "message": "Summarise"}


def expanded(now: datetime = NOW, **entries: Any) -> tuple[Declared, ...]:
    found, problems = expand(entries, replace(RULES, now=now))
    assert problems == ()
    return found


def one(now: datetime = NOW, **entry: Any) -> Job:
    return expanded(now, brief={**BRIEF, **entry})[0].job


def stored(change: Change, **state: Any) -> StoredJob:
    """The job as the store keeps it once a change is applied."""
    return StoredJob(
        job=change.job,
        state=JobState(**{"next_run_at": change.next_run_at, **change.state, **state}),
        revision=revision(change.job),
    )


def applied(now: datetime = NOW, **entries: Any) -> list[StoredJob]:
    return [stored(each) for each in plan(expanded(now, **entries), [], now=now).changes]


def planned(have: Sequence[StoredJob], now: datetime = LATER, **entries: Any) -> Plan:
    return plan(expanded(now, **entries), have, now=now)


def acts(found: Plan) -> list[tuple[str, str]]:
    return [(change.act.value, key_of(change.job)) for change in found.changes]


# -- entries -------------------------------------------------------------------------------------


def test_the_key_is_the_identity() -> None:
    job = one()
    assert (job.id, job.declaration_key) == ("cfg:brief", "config:brief")
    assert (job.name, job.source) == ("brief", Source.CONFIG)


def test_short_forms_become_the_job_model() -> None:
    job = one(
        schedule="every 30m",
        agent="main",
        session="isolated",
        deliver={"channel": "telegram", "to": "-1001234567890", "thread": 42},
        misfire={"policy": "run-once", "grace": "2h"},
    )
    assert isinstance(job.schedule, Every)
    assert job.delivery == DeliverySpec(
        mode="announce", channel="telegram", to="-1001234567890", thread_id="42"
    )
    assert job.misfire == Misfire(grace=timedelta(hours=2))
    probe = expanded(probe={"schedule": "*/15 * * * *", "command": ["df"], "deliver": "none"})
    assert probe[0].job.payload == Command(argv=("df",))
    assert probe[0].job.delivery == DeliverySpec(mode="none")


@pytest.mark.parametrize(
    ("deliver", "spec"),
    [
        ("none", DeliverySpec(mode="none")),
        ("last", DeliverySpec(mode="announce", channel="last")),
        ("telegram:5", DeliverySpec(mode="announce", channel="telegram", to="5")),
        ("https://x.org/in", DeliverySpec(mode="webhook", to="https://x.org/in")),
    ],
)
def test_deliver_has_short_forms(deliver: str, spec: DeliverySpec) -> None:
    assert one(deliver=deliver).delivery == spec


def test_a_declared_hourly_job_is_exact_unless_it_asks() -> None:
    exact = one(schedule="0 * * * *").schedule
    loose = one(schedule={"expr": "0 * * * *", "stagger": "2m"}).schedule
    assert isinstance(exact, Cron)
    assert isinstance(loose, Cron)
    assert (exact.stagger, loose.stagger) == (timedelta(), timedelta(minutes=2))


@pytest.mark.parametrize(
    ("key", "entry", "words"),
    [
        ("Brief", BRIEF, "the key 'Brief' was refused"),
        ("b/c", BRIEF, "was refused"),
        ("brief", "0 7 * * *", "must be an object"),
        ("brief", {"message": "x"}, "Choose exactly one schedule"),
        ("brief", {"schedule": "0 7 * * *"}, "Choose exactly one payload"),
        ("brief", {**BRIEF, "command": ["x"]}, "Choose exactly one payload"),
        ("brief", {**BRIEF, "schedule": "at 20m"}, "a relative instant was refused"),
        ("brief", {**BRIEF, "schedule": "in 20m"}, "a relative instant was refused"),
        ("brief", {**BRIEF, "schedule": "tomorrowish"}, "expected ISO-8601 timestamp (got 'tomorr"),
        ("brief", {**BRIEF, "schedule": "at 2026-02-30"}, "Invalid schedule.at"),
        ("brief", {**BRIEF, "id": "x"}, "id cannot be set here"),
        ("brief", {**BRIEF, "mesage": "x"}, "unknown key 'mesage'"),
    ],
)
def test_a_wrong_entry_is_told_with_its_place(key: str, entry: Any, words: str) -> None:
    _, found = expand({key: entry, "good": BRIEF}, RULES)
    assert [problem.key for problem in found] == [key]
    assert words in found[0].text


def test_every_wrong_entry_is_told_at_once() -> None:
    _, found = expand({"a": {}, "b": {**BRIEF, "wake": "never"}, "c": BRIEF}, RULES)
    assert [problem.key for problem in found] == ["a", "b"]


# -- plans ---------------------------------------------------------------------------------------


def test_a_new_entry_is_added_and_waits_for_its_next_slot() -> None:
    found = planned([], NOW, brief=BRIEF)
    assert acts(found) == [("add", "brief")]
    assert found.changes[0].next_run_at == datetime(2026, 5, 5, 23, tzinfo=UTC)


def test_an_instant_in_the_past_is_added_and_never_run() -> None:
    found = planned([], brief={**BRIEF, "schedule": "at 2026-05-01T09:00"})
    assert acts(found) == [("add", "brief")]
    assert found.changes[0].next_run_at is None


def test_what_stands_as_declared_is_not_in_the_plan() -> None:
    entries: dict[str, Any] = {
        "brief": BRIEF,
        "beat": {"schedule": "every 30m", "message": "x"},
        "once": {"schedule": "at 2026-12-01T09:00", "message": "x"},
    }
    assert planned(applied(**entries), **entries) == Plan()
    turned: Any = {key: dict(reversed(entry.items())) for key, entry in reversed(entries.items())}
    assert planned(applied(**entries), **turned) == Plan()


def test_new_words_keep_the_slot_and_the_state() -> None:
    have = applied(beat={"schedule": "every 30m", "message": "x"})
    found = planned(have, beat={"schedule": "every 30m", "message": "y"})
    assert acts(found) == [("update", "beat")]
    assert found.changes[0].next_run_at == have[0].state.next_run_at
    assert found.changes[0].job.schedule == have[0].job.schedule
    assert found.changes[0].job.created_at == NOW
    assert "schedule_activated_at" not in found.changes[0].state


def test_a_new_schedule_counts_from_now_and_ends_the_old_backoff() -> None:
    found = planned(applied(brief=BRIEF), brief={**BRIEF, "schedule": "0 9 * * *"})
    change = found.changes[0]
    assert change.next_run_at == datetime(2026, 5, 6, 1, tzinfo=UTC)
    assert change.state["schedule_activated_at"] == LATER
    assert change.state["retry_at"] is None


def test_another_length_moves_the_grid_and_a_given_anchor_fixes_it() -> None:
    have = applied(beat={"schedule": "every 30m", "message": "x"})
    moved = planned(have, beat={"schedule": "every 10m", "message": "x"}).changes[0]
    assert moved.next_run_at == LATER + timedelta(minutes=10)
    anchored = {"schedule": {"everyMs": "30m", "anchor": "2026-05-05T00:05Z"}, "message": "x"}
    fixed = planned(have, beat=anchored).changes[0]
    assert fixed.job.schedule == Every(
        timedelta(minutes=30), datetime(2026, 5, 5, 0, 5, tzinfo=UTC)
    )


def test_an_entry_taken_out_is_switched_off_and_comes_back_with_its_state() -> None:
    have = applied(brief=BRIEF)
    gone = planned(have)
    assert acts(gone) == [("disable", "brief")]
    assert not gone.changes[0].job.enabled
    assert gone.changes[0].next_run_at is None
    orphan = stored(gone.changes[0])
    assert planned([orphan]) == Plan(), "an orphan is not switched off twice"
    back = planned([orphan], LATER + timedelta(days=1), brief=BRIEF)
    assert acts(back) == [("revive", "brief")]
    assert back.changes[0].state["orphaned_at"] is None
    assert back.changes[0].next_run_at == datetime(2026, 5, 6, 23, tzinfo=UTC)


def test_an_orphan_is_deleted_in_the_end_or_at_once_where_that_is_wished() -> None:
    have = applied(brief=BRIEF)
    assert acts(plan([], have, now=LATER, removal="delete")) == [("delete", "brief")]
    orphan = stored(planned(have).changes[0])
    assert acts(plan([], [orphan], now=LATER + timedelta(days=31))) == [("delete", "brief")]


def test_a_one_shot_that_ran_never_runs_again_unless_its_instant_changes() -> None:
    entry = {"schedule": "at 2026-05-05T13:00Z", "message": "x"}
    [first] = applied(once=entry)
    assert isinstance(first.job.schedule, At)
    ran = replace(first, state=JobState(last_status="ok", last_run_at=first.job.schedule.at))
    assert planned([ran], once=entry) == Plan()
    assert planned([ran], once={**entry, "message": "y"}).changes[0].next_run_at is None
    moved = planned([ran], once={**entry, "schedule": "at 2026-05-06T13:00Z"})
    assert moved.changes[0].next_run_at == datetime(2026, 5, 6, 13, tzinfo=UTC)


def test_switching_off_in_the_config_takes_the_slot_away_and_on_gives_a_new_one() -> None:
    have = applied(brief=BRIEF)
    off = planned(have, brief={**BRIEF, "enabled": False}).changes[0]
    assert (off.act, off.job.enabled, off.next_run_at) == (Act.UPDATE, False, None)
    on = planned([stored(off)], brief=BRIEF).changes[0]
    assert on.next_run_at == datetime(2026, 5, 5, 23, tzinfo=UTC)


def test_jobs_of_others_are_left_alone_but_may_be_in_the_way() -> None:
    [mine] = applied(brief=BRIEF)
    theirs = replace(mine, job=replace(mine.job, source=Source.IMPORT))
    assert plan([], [theirs], now=LATER) == Plan()
    found = collisions(expanded(brief=BRIEF), [theirs])
    assert found[0].key == "brief"
    assert "another job (import) has the id cfg:brief" in found[0].text
    assert collisions(expanded(brief=BRIEF), [mine]) == ()


def test_a_job_that_was_taken_over_at_run_time_is_no_collision_and_no_change() -> None:
    [mine] = applied(brief=BRIEF)
    ours = replace(mine, job=replace(mine.job, source=Source.RUNTIME))
    entries = expanded(brief={**BRIEF, "message": "changed"})
    assert adopted(entries, [ours]) == {"brief"}
    assert collisions(entries, [ours]) == ()
    assert plan(entries, [ours], now=LATER) == Plan()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"schedule": "0 7 * *", "message": "x"}, "it has 4 fields"),
        ({"schedule": "every 5q", "message": "x"}, "Invalid duration (cannot read '5q')"),
        ({"schedule": "0 7 * * *"}, "exactly one payload: message (agentTurn), systemEvent, or"),
        ({"message": "x"}, "exactly one schedule: schedule, every, or cron"),
    ],
)
def test_a_refusal_is_in_the_words_of_the_file(entry: dict[str, Any], words: str) -> None:
    _, (problem,) = expand({"brief": entry}, RULES)
    assert words in problem.text
    assert "--" not in problem.text


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("every weekday at 9", 'schedule: "0 9 * * 1-5"'),
        ("工作日早上9点", 'schedule: "0 9 * * 1-5"'),
        ("every day at 9 Berlin time", 'schedule: "0 9 * * *", tz: "Europe/Berlin"'),
        ("tomorrow at 9", 'schedule: "at 20'),
        ("every other day at 8", '"kind": "every"'),
    ],
)
def test_a_schedule_in_words_is_refused_with_what_it_means(words: str, meant: str) -> None:
    entry = {"schedule": words, "message": "look"}
    _, (problem,) = expand({"brief": entry}, RULES)
    assert "words are read by engine cron add" in problem.text
    assert meant in problem.text
