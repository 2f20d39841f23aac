"""Probes: what counts as a change, and what a probe that cannot look does (heartbeat.md §25-15)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.decisions.adaptive import Lull, Slack, rests_until
from engine.decisions.probes import Probe, ProbeKind, Sight, compared

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def probe(*, runs_if_broken: bool = True) -> Probe:
    return Probe(
        name="notes",
        kind=ProbeKind.FILE,
        what=("notes.md",),
        timeout=timedelta(seconds=30),
        runs_if_broken=runs_if_broken,
    )


@pytest.mark.parametrize(
    ("before", "seen", "why"),
    [
        ({}, Sight("1"), "first look"),
        ({"notes": "1"}, Sight("1"), None),
        ({"notes": "1"}, Sight("2"), "changed"),
        ({"notes": "1"}, Sight(fault="it is gone"), "failed: it is gone"),
        ({}, Sight(quiet=True), None),
        ({"notes": "1"}, Sight("2", told="3 unseen"), "changed (3 unseen)"),
        ({"notes": "1"}, Sight(quiet=True), None),
    ],
)
def test_the_agent_is_asked_if_a_probe_saw_a_change(
    before: dict[str, str], seen: Sight, why: str | None
) -> None:
    found = compared([probe()], [seen], before)
    assert found.worth is (why is not None)
    assert found.tripped.get("notes") == why


def test_a_probe_that_cannot_look_may_count_as_no_change_and_is_told_all_the_same() -> None:
    found = compared([probe(runs_if_broken=False)], [Sight(fault="it is gone")], {"notes": "1"})
    assert not found.worth
    assert found.because == "nothing changed: no probe; notes failed: it is gone"
    assert found.digests == {"notes": "1"}  # what was seen last is not forgotten


@pytest.mark.parametrize(
    ("polls", "until"),
    [(19, None), (20, NOON + timedelta(hours=4)), (30, NOON + timedelta(hours=4))],
)
def test_after_so_many_quiet_polls_the_next_is_far(polls: int, until: datetime | None) -> None:
    slack = Slack(after=20, most=timedelta(hours=4))
    assert rests_until(slack, Lull(polls=polls, last_at=NOON), NOON) == until


def test_nobody_rests_by_a_poll_of_a_clock_that_was_set_back_since() -> None:
    slack = Slack(after=20, most=timedelta(hours=4))
    ahead = Lull(polls=20, last_at=NOON + timedelta(days=30))
    assert rests_until(slack, ahead, NOON) is None
