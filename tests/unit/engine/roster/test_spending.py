"""What beats spend, in numbers: budgets, forecasts, a cheaper model (heartbeat.md §25 row 5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from engine.agents.provider import Price
from engine.roster.spending import BeatBudget, Purse, beats_until, cheapest, forecast, mean_of
from jobs.ledger import MeanCost, Spent, Usage
from jobs.policies import Budget

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
LIMITS = Budget(tokens_per_day=1000, cost_per_day=2.0, runs_per_day=10)
PURSE = Purse(budget=BeatBudget(hard=LIMITS))


@pytest.mark.parametrize(
    ("spent", "used", "low", "stops"),
    [
        (Spent(), 0.0, None, None),
        (Spent(runs=7, tokens=100), 0.7, None, None),
        (Spent(runs=1, tokens=799, usd=0.2), 0.799, None, None),
        (Spent(runs=1, tokens=800, usd=0.2), 0.8, "80% of today's budget is spent", None),
        (Spent(usd=2.0), 1.0, "$2.00 of $2.00 of today are spent", "$2.00 of $2.00"),
        (Spent(runs=11), 1.1, "11 of 10 runs of today are spent", "11 of 10 runs"),
    ],
)
def test_a_budget_is_low_before_it_is_empty_by_the_limit_nearest_to_its_end(
    spent: Spent, used: float, low: str | None, stops: str | None
) -> None:
    purse = replace(PURSE, spent=spent)
    assert (purse.used, purse.low) == (used, low)
    assert bool(purse.stops) is bool(stops)
    assert (purse.stops or "").startswith(stops or "")


def test_a_budget_without_a_limit_is_never_low() -> None:
    purse = Purse(budget=BeatBudget(hard=Budget()), spent=Spent(runs=99, tokens=10**9, usd=99.0))
    assert (purse.used, purse.low, purse.stops, purse.model) == (None, None, None, None)


@pytest.mark.parametrize(
    ("hard", "model"),
    [
        (replace(LIMITS, warn_only=True), None),
        (replace(LIMITS, fallback_model="cheap/nano"), "cheap/nano"),
    ],
)
def test_what_is_spent_stops_nothing_if_the_budget_says_so(hard: Budget, model: str | None) -> None:
    purse = Purse(budget=BeatBudget(hard=hard), spent=Spent(runs=10))
    assert (purse.stops, purse.model) == (None, model)
    assert purse.to_json()["exhausted"] == "10 of 10 runs of today are spent"


def test_a_forecast_adds_what_is_to_come_to_what_is_spent() -> None:
    mean = MeanCost(runs=4, usd=0.5, tokens=1000)
    found = forecast(mean, 20, spent=Spent(runs=4, tokens=4000, usd=2.0))
    assert found is not None
    assert (found.usd, found.usd_in_all, found.tokens) == (10.0, 12.0, 20_000)
    assert found.to_json()["tokensInAll"] == 24_000


def test_there_is_no_forecast_from_nothing_and_no_money_without_a_price() -> None:
    assert forecast(MeanCost(runs=0, usd=None, tokens=0.0), 20) is None
    found = forecast(mean_of(Spent(runs=2, tokens=500)), 20)
    assert found is not None
    assert (found.usd, found.usd_in_all, found.tokens) == (None, None, 5000)


def test_the_pace_of_the_past_is_that_of_the_beats_to_come() -> None:
    end = NOON + 10 * DAY
    assert beats_until(end, NOON, ran=14, since=NOON - 7 * DAY) == 20
    assert beats_until(NOON, end, ran=14, since=NOON) == 0
    # Of a first minute nobody concludes to thousands: an hour is the least that is looked at.
    assert beats_until(NOON + DAY, NOON, ran=1, since=NOON - timedelta(seconds=5)) == 24


PRICES = {
    "dear/pro": Price(input=10.0, output=40.0),
    "cheap/nano": Price(input=0.1, output=0.4),
    "own/free": Price(),  # nobody priced it
}
USED = Usage(input_tokens=1_000_000, output_tokens=100_000)


def test_the_model_that_would_have_done_it_for_least_is_named() -> None:
    found = cheapest(USED, 14.0, PRICES)
    assert found is not None
    assert (found.model, round(found.usd, 2), found.instead_of) == ("cheap/nano", 0.14, 14.0)
    assert found.to_json()["fix"].endswith("heartbeat.model cheap/nano")


@pytest.mark.parametrize("paid", [0.0, 0.15])
def test_no_model_is_named_for_a_few_cents(paid: float) -> None:
    assert cheapest(USED, paid, PRICES) is None


@pytest.mark.parametrize(
    ("mean", "room"),
    [
        (MeanCost(runs=1, usd=1.0, tokens=10), 2.0),
        (MeanCost(runs=1, usd=None, tokens=500), 2.0),
        (MeanCost(runs=1, usd=None, tokens=1), 10),
    ],
)
def test_a_hard_limit_is_the_room_of_a_day(mean: MeanCost, room: float) -> None:
    assert PURSE.room(mean) == room
    warns = BeatBudget(hard=replace(LIMITS, warn_only=True))
    assert Purse(budget=warns).room(mean) is None


@pytest.mark.parametrize(
    ("hard", "spent", "wider"),
    [
        (Budget(tokens_per_day=2_345_678), Spent(tokens=2_345_678), ("tokensPerDay", "4691356")),
        (Budget(runs_per_day=3), Spent(runs=9), ("runsPerDay", "18")),
        (Budget(cost_per_day=0.5), Spent(usd=0.513), ("costPerDay", "1.03")),
        (Budget(runs_per_day=3), Spent(runs=2), None),
    ],
)
def test_a_wider_limit_is_a_number_to_paste_that_leaves_room(
    hard: Budget, spent: Spent, wider: tuple[str, str] | None
) -> None:
    assert Purse(budget=BeatBudget(hard=hard), spent=spent).wider == wider
