"""Frozen values with some fields changed: as `dataclasses.replace` has it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.values import changed, swift

RUN = Run(
    id="r", job_id="j", kind="cron", agent_id=None, trigger=Trigger.SCHEDULE, status=RunStatus.OK
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_a_copy_is_what_replace_would_make() -> None:
    asked: dict[str, Any] = {"reason": SkipReason.SHUTDOWN, "because": "why", "ended_at": NOON}
    assert changed(RUN, **asked) == replace(RUN, **asked)


def test_the_value_itself_stays_and_the_copy_is_as_frozen() -> None:
    copy = changed(RUN, because="why")
    assert (RUN.because, copy.because) == ("", "why")
    with pytest.raises(FrozenInstanceError):
        copy.because = "other"  # type: ignore[misc]  # that is the point


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        changed(RUN, colour="red")  # type: ignore[call-arg]  # that is the point


def test_a_class_that_checks_its_values_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        size: int

        def __post_init__(self) -> None:
            assert self.size > 0

    with pytest.raises(AssertionError, match="Checked"):
        changed(Checked(1), size=-1)


@swift
@dataclass(frozen=True, slots=True)
class Swift:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: int | None = field(default=None, kw_only=True)
    kind: str = ""  # a name the making of one uses too
    known: str | None = field(default=None, init=False, repr=False, compare=False)
    found: list[int] = field(default_factory=list, init=False, repr=False)


def test_a_swift_value_is_made_and_compared_like_any_other() -> None:
    one, other = Swift(1), Swift(1, "two", [], last=None)
    assert one == other
    assert one.third is not other.third  # each has a list of its own
    assert replace(one, last=3) == changed(one, last=3) == Swift(1, last=3)
    assert repr(one) == "Swift(first=1, second='two', third=[], last=None, kind='')"
    assert isinstance(one, Swift)
    assert (one.known, one.found) == (None, [])  # which nobody gives


def test_a_swift_value_is_as_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Swift(1).first = 2  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), ((1, "a", [], "", None), {}), ((1,), {"no": 1})]
)
def test_a_swift_value_takes_what_it_took(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Swift(*given, **named)


def test_a_value_of_one_field_is_changed_too() -> None:
    @dataclass(frozen=True, slots=True)
    class Single:
        size: int

    assert changed(Single(1), size=2) == Single(2)


def test_a_class_with_a_base_is_no_plain_value() -> None:
    @dataclass(frozen=True, slots=True)
    class Heir(Swift):
        more: int = 0

    with pytest.raises(AssertionError, match="Heir"):
        swift(Heir)
