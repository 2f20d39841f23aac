"""What beats spend: how a budget stands, what is to come, and which model would be cheaper. Pure.

heartbeat.md §2.1 (`budget`), §25 row 5. A soft limit is told, a hard one ends the day's beats,
or hands them to a cheaper model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from engine.agents.provider import Price
from engine.decisions.cron_gates import spent_words
from jobs.ledger import NOTHING_SPENT, MeanCost, Spent, Usage
from jobs.policies import Budget

WORTH_IT: Final = 0.8  # a model is named if it would have cost at most this share
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatBudget:
    """What the beats of one agent may spend in a day of its person."""

    hard: Budget
    warn_at: float = 0.8  # the soft limit: this share of any hard one is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """How a budget stands at a moment."""

    budget: BeatBudget
    spent: Spent = NOTHING_SPENT  # since the local midnight

    @property
    def empty(self) -> str | None:
        """Which hard limit is used up, in words."""
        return spent_words(self.budget.hard, self.spent)

    @property
    def wider(self) -> tuple[str, str] | None:
        """Which limit is used up, by its key, and twice what was spent; None if none is."""
        hard, spent = self.budget.hard, self.spent
        if hard.tokens_per_day is not None and spent.tokens >= hard.tokens_per_day:
            return "tokensPerDay", str(2 * spent.tokens)
        if hard.cost_per_day is not None and spent.usd >= hard.cost_per_day:
            return "costPerDay", f"{math.ceil(200 * spent.usd) / 100:.2f}"
        if hard.runs_per_day is not None and spent.runs >= hard.runs_per_day:
            return "runsPerDay", str(2 * spent.runs)
        return None

    @property
    def low(self) -> str | None:
        """Which limit is nearly used up, in words; also once it is."""
        used = self.used
        if used is None or used < self.budget.warn_at:
            return None
        return self.empty or f"{used:.0%} of today's budget is spent"

    @property
    def used(self) -> float | None:
        """The largest share of any limit that is spent; None without a limit."""
        hard, spent = self.budget.hard, self.spent
        pairs = (
            (spent.tokens, hard.tokens_per_day),
            (spent.usd, hard.cost_per_day),
            (spent.runs, hard.runs_per_day),
        )
        return max((had / limit for had, limit in pairs if limit), default=None)

    @property
    def stops(self) -> str | None:
        """Why no slot runs any more today; None if it does, however dearly."""
        hard = self.budget.hard
        return None if hard.warn_only or hard.fallback_model else self.empty

    def room(self, mean: MeanCost) -> float | None:
        """Return how many beats a day may ask the model; None if nothing stops them."""
        hard = self.budget.hard
        if hard.warn_only or hard.fallback_model:
            return None
        limits = [
            hard.runs_per_day,
            hard.tokens_per_day / mean.tokens if hard.tokens_per_day and mean.tokens else None,
            hard.cost_per_day / mean.usd if hard.cost_per_day and mean.usd else None,
        ]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def model(self) -> str | None:
        """The cheaper model that answers now, if the budget is spent and names one."""
        return self.budget.hard.fallback_model if self.empty else None

    def to_json(self) -> dict[str, Any]:
        """Return it as `heartbeat.cost` and the row's facts tell it."""
        hard = self.budget.hard
        limits = {
            "tokensPerDay": hard.tokens_per_day,
            "costPerDay": hard.cost_per_day,
            "runsPerDay": hard.runs_per_day,
        }
        told = {
            "limits": {key: value for key, value in limits.items() if value is not None},
            "spent": spent_json(self.spent),
            "used": self.used,
            "onExceed": "warn" if hard.warn_only else "skip",
            "fallbackModel": hard.fallback_model,
            "low": self.low,
            "exhausted": self.empty,
        }
        return {key: value for key, value in told.items() if value is not None}


def spent_json(spent: Spent) -> dict[str, Any]:
    """Return a sum as the wire has it."""
    return {"runs": spent.runs, "tokens": spent.tokens, "costUsd": spent.usd}


# -- what is to come -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What beats to come will cost, if they go on costing what they did."""

    beats: float  # that will ask the model
    mean: MeanCost
    spent: Spent = NOTHING_SPENT  # of the same period, so far

    @property
    def tokens(self) -> float:
        """Tokens of those to come."""
        return self.beats * self.mean.tokens

    @property
    def usd(self) -> float | None:
        """Money for those to come; None while no price is known."""
        return None if self.mean.usd is None else self.beats * self.mean.usd

    @property
    def usd_in_all(self) -> float | None:
        """Money by the end of the period: what is spent, and what is to come."""
        return None if self.usd is None else self.spent.usd + self.usd

    def to_json(self) -> dict[str, Any]:
        """Return it as the wire has it."""
        return {
            "beats": self.beats,
            "tokensPerBeat": self.mean.tokens,
            "usdPerBeat": self.mean.usd,
            "tokens": self.tokens,
            "usd": self.usd,
            "spent": spent_json(self.spent),
            "tokensInAll": self.spent.tokens + self.tokens,
            "usdInAll": self.usd_in_all,
        }


def forecast(mean: MeanCost, beats: float, *, spent: Spent = NOTHING_SPENT) -> Forecast | None:
    """Say what so many beats will cost by what the last ones did; None if none has yet."""
    return Forecast(beats=beats, mean=mean, spent=spent) if mean.runs else None


def beats_until(end: datetime, now: datetime, *, ran: int, since: datetime) -> float:
    """Return how many beats will ask the model by an instant, at the pace since another."""
    watched = max(now - since, _DAY / 24)
    return max(end - now, timedelta()) / watched * ran


def mean_of(sums: Spent) -> MeanCost:
    """Return what one of these runs cost on average; money that nobody priced is none."""
    if not sums.runs:
        return MeanCost(runs=0, usd=None, tokens=0.0)
    usd = sums.usd / sums.runs if sums.usd else None
    return MeanCost(runs=sums.runs, usd=usd, tokens=sums.tokens / sums.runs)


# -- cheaper ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheaper:
    """A configured model that would have done the same for less."""

    model: str
    usd: float
    instead_of: float

    def to_json(self) -> dict[str, Any]:
        """Return it as the wire has it."""
        fix = f"engine config set agents.defaults.heartbeat.model {self.model}"
        return {
            "model": self.model,
            "costUsd": self.usd,
            "insteadOfUsd": self.instead_of,
            "fix": fix,
        }


def cheapest(used: Usage, paid: float, prices: Mapping[str, Price]) -> Cheaper | None:
    """Name the model that would have answered the same for least, if that is worth a change.

    ``prices`` are those of models that have any, by `provider/model`.
    """
    known = [(price.of(used), model) for model, price in prices.items() if price != Price()]
    if not known or paid <= 0:
        return None
    usd, model = min(known)
    return Cheaper(model=model, usd=usd, instead_of=paid) if usd <= paid * WORTH_IT else None
