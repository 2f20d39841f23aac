"""Promises of beats over many inputs: the grid, the windows, the checklist, the words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, strategies as st

from engine.decisions.heartbeat import grid, next_that_runs, settled
from engine.decisions.wake import FLOOD_MOST, Intent, guard
from engine.wording.outcome import classify
from engine.workspace.checklist import parse
from jobs import wallclock
from jobs.hours import ActiveHours
from jobs.ledger import Outcome
from jobs.wallclock import EPOCH

ZONES = (
    "America/New_York", "Europe/London", "Australia/Lord_Howe", "Antarctica/Troll", "Asia/Beirut",
    "America/Santiago", "Pacific/Apia", "Asia/Shanghai", "UTC",
)  # fmt: skip
instants = st.datetimes(
    datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)
)  # naive bounds, as hypothesis wants them
periods = st.integers(1, 36 * 3600).map(lambda seconds: timedelta(seconds=seconds))
windows = st.builds(
    lambda start, length, zone: ActiveHours(
        start, (start + length) % 1440 or 1440, wallclock.zone(zone)
    ),
    st.integers(0, 1439),
    st.integers(1, 1380),
    st.sampled_from(ZONES),
)
names = st.text("abcdefgh-", min_size=1, max_size=8).map(lambda text: f"t{text}")
prompts = st.text("abc XYZ:#'.", min_size=1, max_size=30).map(lambda text: f"Do {text} it")
words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), max_size=40).filter(
    lambda text: "&nbsp;" not in text.lower()  # a space (heartbeat.md §13)
)


@given(st.text(max_size=8), st.text(max_size=8), periods, instants)
def test_a_slot_is_later_and_within_one_interval(
    seed: str, agent: str, period: timedelta, now: datetime
) -> None:
    schedule = grid(seed, agent, period)
    slot = schedule.next_after(now)
    assert now < slot <= now + period
    assert grid(seed, agent, period).next_after(now) == slot


@given(windows, instants)
def test_a_window_is_open_when_it_says_it_opens(hours: ActiveHours, now: datetime) -> None:
    opens = hours.opens_after(now)
    assert opens >= now
    assert hours.contains(opens)
    assert opens == now or not hours.contains(opens - timedelta(microseconds=1))


@given(windows, periods, instants)
def test_no_agent_waits_for_a_beat_that_never_comes(
    hours: ActiveHours, period: timedelta, now: datetime
) -> None:
    cadence = settled(grid("seed", "main", period), hours, now)
    assert next_that_runs(cadence.schedule, hours, now) is not None


@given(st.dictionaries(names, st.tuples(st.integers(1, 90), prompts), min_size=1, max_size=5))
def test_every_well_formed_task_is_read(tasks: dict[str, tuple[int, str]]) -> None:
    text = "tasks:\n" + "".join(
        f'- name: {name}\n  interval: {minutes}m\n  prompt: "{prompt}"\n'
        for name, (minutes, prompt) in tasks.items()
    )
    file = parse(text.encode())
    assert {task.name: (task.interval, task.prompt) for task in file.tasks} == {
        name: (timedelta(minutes=minutes), prompt) for name, (minutes, prompt) in tasks.items()
    }
    assert not file.warnings


@given(st.binary(max_size=200))
def test_no_file_is_too_odd_to_be_read(raw: bytes) -> None:
    assert parse(raw).size == len(raw)


@given(words, words, st.integers(0, 60))
def test_no_word_of_the_agent_is_lost(before: str, after: str, most: int) -> None:
    said = f"{before} HEARTBEAT_OK {after}"
    verdict = classify([said], ack_max_chars=most)
    kept = verdict.text + verdict.dropped
    if verdict.outcome is Outcome.ALERT:
        assert not verdict.dropped
    for word in (before, after):
        bare = "".join(c for c in word if c.isalnum())
        assert bare in "".join(c for c in kept if c.isalnum())


@given(st.lists(st.integers(0, 120), max_size=9))
def test_the_order_of_remembered_starts_does_not_matter(seconds: list[int]) -> None:
    now = EPOCH + timedelta(seconds=120)
    starts = [EPOCH + timedelta(seconds=second) for second in seconds]
    verdicts = {
        guard(Intent.IMMEDIATE, now, next_due=None, last_start=None, starts=order)
        for order in (starts, starts[::-1], sorted(starts))
    }
    assert len(verdicts) == 1
    (verdict,) = verdicts
    recent = [start for start in starts if start >= now - timedelta(seconds=60)]
    assert (verdict is not None) is (len(recent) >= FLOOD_MOST)
