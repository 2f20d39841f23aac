"""Windows of the day: every vector of heartbeat.md §5, and where the clocks change."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobs.errors import InvalidInput
from jobs.hours import parse

FIXTURES = Path(__file__).parents[2] / "fixtures" / "heartbeat_fixtures.json"
VECTORS: list[dict[str, Any]] = json.loads(FIXTURES.read_text(encoding="utf-8"))["activeHours"]
OVERRIDES = [case for case in VECTORS if "e" in case and "error" not in case["e"]]


def _beats(case: dict[str, Any], *, wall: bool = False) -> dict[str, Any]:
    hours = parse(case["start"], case["end"], case["zone"], wall=wall)
    zone = ZoneInfo(case["zone"])
    day = date.fromisoformat(case["date"])
    at = datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
    until = datetime.combine(day + timedelta(days=1), time(), tzinfo=zone).astimezone(UTC)
    every = timedelta(milliseconds=case["everyMs"])
    open_at = []
    while at < until:
        if hours.contains(at):
            open_at.append(round(at.timestamp() * 1000))
        at += every
    return {
        "beats": len(open_at),
        "firstMs": open_at[0] if open_at else None,
        "lastMs": open_at[-1] if open_at else None,
    }


@pytest.mark.parametrize(
    "case", VECTORS, ids=lambda c: f"{c['zone']}-{c['date']}-{c['start']}-{c['end']}"
)
def test_the_window_is_open_when_the_specification_says(case: dict[str, Any]) -> None:
    want = case.get("e", case["m"])
    if "error" in want:
        with pytest.raises(InvalidInput, match=want["error"]):
            _beats(case)
    else:
        assert _beats(case) == want


@pytest.mark.parametrize("case", OVERRIDES, ids=lambda c: f"{c['zone']}-{c['date']}")
def test_wall_judges_as_the_reference_product_does(case: dict[str, Any]) -> None:
    assert _beats(case, wall=True) == case["m"]


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("24:00", "08:00", "start cannot be 24:00"),
        ("08:00", "24:01", "the only allowed 24:xx value"),
        ("8:00", "22:00", 'use "HH:MM" 24h format'),
        ("08:00", "22:60", 'use "HH:MM" 24h format'),
    ],
)
def test_a_bad_time_is_refused_in_the_words_people_know(start: str, end: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parse(start, end, "UTC")


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="Asia/Beijing"):
        parse("09:00", "22:00", "Asia/Beijing")


def test_a_closed_window_tells_when_it_opens() -> None:
    hours = parse("22:00", "06:00", "Asia/Shanghai")
    noon = datetime(2026, 3, 17, 4, 0, tzinfo=UTC)
    assert hours.opens_after(noon) == datetime(2026, 3, 17, 14, 0, tzinfo=UTC)
    assert hours.contains(hours.opens_after(noon))
    inside = datetime(2026, 3, 17, 20, 0, tzinfo=UTC)
    assert hours.opens_after(inside) == inside


def test_the_windows_of_a_span_are_those_that_touch_it() -> None:
    hours = parse("22:00", "06:00", "Europe/Berlin")
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    found = list(hours.windows(start, start + timedelta(days=1, hours=12)))
    assert [(f"{opens:%d %H:%M}", f"{closes:%d %H:%M}") for opens, closes in found] == [
        ("28 21:00", "29 04:00"),  # the clocks go forward in it
        ("29 20:00", "30 04:00"),
    ]
    inside = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert [f"{opens:%d}" for opens, _ in hours.windows(inside, inside)] == ["28"]
