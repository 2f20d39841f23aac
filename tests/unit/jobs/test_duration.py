"""Durations, every form of cron.md §5 and every vector of the heartbeat's narrower set."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.duration import format_duration, parse_duration, parse_rate
from jobs.errors import InvalidSchedule

FIXTURES = Path(__file__).parents[2] / "fixtures" / "heartbeat_fixtures.json"
VECTORS: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["durations"]
MS = timedelta(milliseconds=1)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: repr(v["input"]))
def test_the_heartbeat_reads_its_narrower_set(vector: dict[str, Any]) -> None:
    if vector["ms"] is None:
        with pytest.raises(InvalidSchedule):
            parse_duration(vector["input"], default_unit="m", narrow=True)
    else:
        found = parse_duration(vector["input"], default_unit="m", narrow=True)
        assert found == vector["ms"] * MS


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000), ("1d", 86_400_000),
        ("2w", 1_209_600_000), ("1h30m", 5_400_000), ("1h 30m", 5_400_000), ("1.5H", 5_400_000),
        ("10 m", 600_000), (" 1m ", 60_000), ("0s", 0), ("PT20M", 1_200_000),
        ("P1DT2H", 93_600_000), ("P2W", 1_209_600_000), ("pt1.5s", 1_500), ("0.1s", 100),
    ],
)  # fmt: skip
def test_what_people_write_is_read(text: str, ms: int) -> None:
    assert parse_duration(text) == ms * MS


def test_a_bare_number_takes_the_unit_of_its_option() -> None:
    assert parse_duration("250", default_unit="ms") == 250 * MS
    assert parse_duration("1.5", default_unit="h") == timedelta(minutes=90)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"), ("30", "a bare number has no unit"), ("-5m", "a duration has no sign"),
        ("+5m", "a duration has no sign"), ("5 minutes", "cannot read 'inutes'"),
        ("1h30", "cannot read '30'"), ("h", "cannot read 'h'"), ("5y", "cannot read '5y'"),
        ("P1M", "months and years have no fixed length"), ("P", "not an ISO 8601 duration"),
        ("P1Y", "months and years have no fixed length"), ("PT", "not an ISO 8601 duration"),
        ("9999999999d", "too long"), ("1e3s", "cannot read '1e3s'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidSchedule) as refusal:
        parse_duration(text)
    assert refusal.value.what == f'Invalid duration ({reason}): "{text}"'
    assert refusal.value.fix == "use values like 500ms, 30s, 5m, 2h, or 1h30m"


@pytest.mark.parametrize("text", ["1h30m", "45s", "250ms", "1d2h3m4s5ms", "0s", "-1h30m"])
def test_a_duration_is_told_in_its_shortest_exact_form(text: str) -> None:
    value = -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)
    assert format_duration(value) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("10/1m", 6), ("1/30s", 30), ("6/h", 600), (" 2 / 1h ", 1800)]
)
def test_a_rate_is_so_many_in_a_span(text: str, seconds: int) -> None:
    assert parse_rate(text).total_seconds() == seconds
