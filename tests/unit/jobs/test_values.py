"""Frozen values with some fields changed: as `dataclasses.replace` has it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.ledger import Run, RunStatus, SkipReason, Trigger
from jobs.values import changed

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
