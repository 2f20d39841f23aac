"""Pages, run entries and previews: what clients of either wire version check."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger, Usage
from jobs.model import DeliverySpec
from jobs.pages import STATUSES, delivery_preview, delivery_status, page, run_entry, snapshot

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RAN = Run(
    id="r1",
    job_id="j1",
    kind="cron",
    agent_id="main",
    trigger=Trigger.SCHEDULE,
    status=RunStatus.OK,
    outcome=Outcome.ALERT,
    slot=NOON,
    started_at=NOON + timedelta(seconds=1),
    ended_at=NOON + timedelta(seconds=3),
)


@pytest.mark.parametrize(
    ("count", "offset", "more", "following"),
    [(2, 0, True, 2), (2, 2, True, 4), (1, 4, False, None), (0, 5, False, None)],
)
def test_a_page_says_where_the_next_one_begins(
    count: int, offset: int, more: bool, following: int | None
) -> None:
    made = page("jobs", [{"id": "x"}] * count, total=5, offset=offset, limit=2)
    assert (made["hasMore"], made["nextOffset"]) == (more, following)
    assert (made["offset"], made["limit"], made["total"]) == (offset, 2, 5)


def test_a_mark_knows_what_is_listed_and_not_in_which_order() -> None:
    assert snapshot([("a", "1"), ("b", "2")]) == snapshot([("b", "2"), ("a", "1")])
    assert snapshot([("a", "1")]) != snapshot([("a", "2")])
    assert snapshot([]) != ""


def test_every_stored_status_has_a_word_of_the_wire() -> None:
    assert {status for group in STATUSES.values() for status in group} == set(RunStatus)


@pytest.mark.parametrize(
    ("change", "state", "word"),
    [
        ({}, "delivered", "delivered"),
        ({}, "queued", "unknown"),
        ({}, "unknown", "unknown"),
        ({}, "failed", "not-delivered"),
        ({}, "expired", "not-delivered"),
        ({}, "cancelled", "not-delivered"),
        ({"delivery_key": "k"}, None, "unknown"),
        ({"outcome": Outcome.ACKNOWLEDGED, "target": {"channel": "x"}}, None, "suppressed"),
        ({"outcome": Outcome.EMPTY}, None, "not-requested"),
        ({"reason": SkipReason.DUPLICATE}, None, "suppressed"),
        ({}, None, "not-requested"),
        ({"status": RunStatus.FAILED}, None, "not-requested"),
        ({"status": RunStatus.MISSED}, None, "not-requested"),
    ],
)
def test_what_became_of_the_words_is_told_apart_from_the_run(
    change: dict[str, Any], state: str | None, word: str
) -> None:
    assert delivery_status(replace(RAN, **change), state) == word


def test_an_entry_leaves_out_what_is_not_there() -> None:
    entry = run_entry(RAN)
    assert entry["status"] == "ok"
    assert (entry["durationMs"], entry["latenessMs"]) == (2000, 1000)
    assert not {"error", "usage", "skipReason", "delivered", "count"} & entry.keys()


def test_an_entry_tells_what_a_turn_cost() -> None:
    run = replace(RAN, usage=Usage(input_tokens=3, output_tokens=2, cost_usd=0.5))
    entry = run_entry(run, delivery={"state": "delivered"})
    assert entry["usage"]["total_tokens"] == 5
    assert (entry["costUsd"], entry["delivered"]) == (0.5, True)


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        (DeliverySpec(), "none"),
        (DeliverySpec(mode="announce"), "announce -> last"),
        (DeliverySpec(mode="announce", channel="local", to="ops"), "announce -> local:ops"),
        (
            DeliverySpec(mode="announce", channel="telegram", to="-100", thread_id="4"),
            "announce -> telegram:-100 (thread 4)",
        ),
        (DeliverySpec(mode="webhook", to="https://x.org"), "webhook -> https://x.org"),
    ],
)
def test_a_preview_says_where_words_would_go(spec: DeliverySpec, label: str) -> None:
    assert delivery_preview(spec)["label"] == label
