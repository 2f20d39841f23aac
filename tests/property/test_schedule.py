"""Slots against an oracle that walks every minute and knows nothing of segments or searches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import Phase, given, settings, strategies as st

from jobs.schedule import Cron, DstPolicy, Every

ZONES = (
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Beirut",
    "America/Santiago",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/Asuncion",
    "America/Sao_Paulo",
    "Asia/Gaza",
    "Europe/Dublin",
    "Asia/Shanghai",
)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SPAN = timedelta(hours=40)
SEARCH = settings().max_examples  # what the profile asks for: soak goes further
PLAINLY = (Phase.generate, Phase.shrink)  # tracing the oracle to explain a failure takes minutes


@dataclass(frozen=True)
class Field:
    """One field: its text, and what it means."""

    text: str
    values: frozenset[int]

    def __repr__(self) -> str:
        return self.text

    @property
    def star(self) -> bool:
        return self.text == "*"


def wrapped(low: int, high: int, first: int, last: int, step: int) -> Field:
    """A range with a step, which may run past the end of the field and go on at its start."""
    around = [*range(first, high + 1), *range(low, last + 1)] if last < first else None
    values = around or [*range(first, last + 1)]
    return Field(f"{first}-{last}/{step}", frozenset(values[::step]))


def fields(low: int, high: int) -> st.SearchStrategy[Field]:
    every = frozenset(range(low, high + 1))
    number = st.integers(low, high)
    return st.one_of(
        st.just(Field("*", every)),
        st.integers(2, max(2, (high - low) // 2)).map(
            lambda n: Field(f"*/{n}", frozenset(range(low, high + 1, n)))
        ),
        st.lists(number, min_size=1, max_size=4, unique=True).map(
            lambda some: Field(",".join(map(str, some)), frozenset(some))
        ),
        st.tuples(number, number).map(
            lambda two: Field(f"{min(two)}-{max(two)}", frozenset(range(min(two), max(two) + 1)))
        ),
        st.tuples(number, number, st.integers(1, 5)).map(lambda three: wrapped(low, high, *three)),
    )


@dataclass(frozen=True)
class Wish:
    """An expression of five fields."""

    minute: Field
    hour: Field
    dom: Field
    month: Field
    dow: Field

    @property
    def expr(self) -> str:
        return " ".join(
            field.text for field in (self.minute, self.hour, self.dom, self.month, self.dow)
        )

    @property
    def wildcard(self) -> bool:
        return self.minute.text.startswith("*") or self.hour.text.startswith("*")

    def matches(self, local: datetime) -> bool:
        dom, dow = local.day in self.dom.values, local.isoweekday() % 7 in self.dow.values
        both = not self.dom.star and not self.dow.star
        day = (dom or dow) if both else (dom and dow)
        return (
            day
            and local.month in self.month.values
            and local.hour in self.hour.values
            and local.minute in self.minute.values
        )


SOMETIMES = st.sampled_from([Field("*", frozenset(range(1, 13)))])
WISHES = st.builds(
    Wish,
    fields(0, 59),
    fields(0, 23),
    st.one_of(st.just(Field("*", frozenset(range(1, 32)))), fields(1, 31)),
    SOMETIMES,
    st.one_of(st.just(Field("*", frozenset(range(7)))), fields(0, 6)),
)


@cache
def transitions(name: str) -> tuple[datetime, ...]:
    """Changes of clocks from 1996 to 2037, to the minute."""
    zone, found = ZoneInfo(name), []
    at = datetime(1996, 1, 1, tzinfo=UTC)
    while at.year < 2037:
        if at.astimezone(zone).utcoffset() != (at + DAY).astimezone(zone).utcoffset():
            low, high = at, at + DAY
            while high - low > MINUTE:
                middle = low + (high - low) // 2 // MINUTE * MINUTE
                same = middle.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        at += DAY
    return tuple(found)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and a minute, more often than not beside a change of its clocks."""
    name = draw(st.sampled_from(ZONES))
    near = transitions(name)
    if near and draw(st.integers(0, 9)) < 8:
        at = draw(st.sampled_from(near)) + draw(st.integers(-30 * 60, 5 * 60)) * MINUTE
    else:
        minutes = draw(st.integers(0, 40 * 365 * 24 * 60))
        at = datetime(1996, 1, 1, tzinfo=UTC) + minutes * MINUTE
    return name, at


def oracle(wish: Wish, name: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Walk every minute in ``(after, until]`` and apply ENGINE-DST/1 to the letter."""
    zone = ZoneInfo(name)
    at = after + MINUTE
    before = after.astimezone(zone).utcoffset() or timedelta()
    while at <= until:
        local = at.astimezone(zone)
        offset = local.utcoffset() or timedelta()
        fires = wish.matches(local) and (wish.wildcard or local.fold == 0)
        if not fires and not wish.wildcard and timedelta() < offset - before <= 3 * HOUR:
            wall = local.replace(tzinfo=None)
            missing = (wall - n * MINUTE for n in range(1, (offset - before) // MINUTE + 1))
            fires = any(wish.matches(gone) for gone in missing)
        if fires:
            yield at
        before, at = offset, at + MINUTE


def ours(schedule: Cron, after: datetime, until: datetime) -> Iterator[datetime]:
    at = schedule.next_after(after)
    while at is not None and at <= until:
        yield at
        at = schedule.next_after(at)


@settings(max_examples=max(400, SEARCH), deadline=None, phases=PLAINLY)
@given(WISHES, moments())
def test_slots_are_those_of_somebody_who_looks_at_every_minute(
    wish: Wish, moment: tuple[str, datetime]
) -> None:
    name, after = moment
    schedule = Cron(wish.expr, name)
    expected = list(oracle(wish, name, after, after + SPAN))
    assert list(ours(schedule, after, after + SPAN)) == expected
    assert schedule.count(after, after + SPAN) == len(expected)


@settings(max_examples=max(1500, SEARCH), deadline=None, phases=PLAINLY)
@given(WISHES, moments(), st.integers(0, 59_999_999))
def test_the_slot_before_the_next_one_is_not_later_than_now(
    wish: Wish, moment: tuple[str, datetime], micro: int
) -> None:
    name, minute = moment
    now = minute + timedelta(microseconds=micro)
    schedule = Cron(wish.expr, name)
    due = schedule.next_after(now)
    assert due is not None
    assert due > now
    before = schedule.previous(due)
    assert before is None or before <= now
    if before is not None:
        assert schedule.next_after(before) == due


@settings(max_examples=max(300, SEARCH), deadline=None, phases=PLAINLY)
@given(
    WISHES,
    moments(),
    st.sampled_from(["run-after", "skip", "shift"]),
    st.sampled_from(["first", "last", "both"]),
)
def test_every_policy_goes_forward_and_counts_what_it_walks(
    wish: Wish, moment: tuple[str, datetime], gap: str, overlap: str
) -> None:
    name, after = moment
    schedule = Cron(wish.expr, name, dst=DstPolicy(gap, overlap))
    walked = list(ours(schedule, after, after + SPAN))
    assert walked == sorted(set(walked))
    assert schedule.count(after, after + SPAN) == len(walked)
    for slot in walked:
        assert schedule.told(slot).instant == slot
        assert schedule.occurrence_after(slot - MINUTE / 2) == schedule.told(slot)


INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
PERIODS = st.integers(1, 10**11).map(lambda micro: timedelta(microseconds=micro))


@given(INSTANTS, PERIODS, INSTANTS)
def test_a_cadence_comes_within_one_period_and_keeps_its_grid(
    after: datetime, period: timedelta, anchor: datetime
) -> None:
    every = Every(period, anchor)
    due = every.next_after(after)
    assert after < due
    assert due == anchor or due <= after + period
    assert (due - anchor) % period == timedelta()
    before = every.previous(due)
    assert before is None or before == due - period
    assert every.count(due - period, due) == 1
