"""`heartbeat.cost`: what beats cost, by agent, day, model or beat, and what the month will (§20).

Read from the ledger alone; with the gateway down too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import reduce
from typing import Any, Final

from engine.agents.provider import Price
from engine.beats.look import Lookout
from engine.roster.roster import AgentProfile, Roster
from engine.roster.spending import Forecast, beats_until, cheapest, forecast, mean_of
from jobs.ledger import NOTHING_SPENT, Spent, Usage
from jobs.store import costs as cost_rows
from jobs.store.costs import Used
from jobs.store.db import Database
from jobs.wallclock import EPOCH, MILLISECOND, midnight, ms

PACE: Final = timedelta(days=7)  # what the coming beats are judged by
SOONEST: Final = timedelta(days=1)  # a part of a day tells nothing of a month
LOOKED_AT: Final = timedelta(days=30)
_MOST: Final = 1000  # lines of one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class CostQuery:
    """Which beats, and how they are put together."""

    by: str = "agent"  # agent | day | model | beat
    agent_id: str | None = None
    since: datetime | None = None  # 30 days ago


def query_of(params: Mapping[str, Any]) -> CostQuery:
    """Return the query behind the params of `heartbeat.cost`."""
    since = params.get("sinceMs")
    return CostQuery(
        by=str(params.get("by") or "agent"),
        agent_id=params.get("agentId"),
        since=None if since is None else EPOCH + int(since) * MILLISECOND,
    )


class Costs:
    """Adds up what beats cost. Changes nothing."""

    def __init__(
        self,
        *,
        database: Database,
        lookout: Lookout,
        roster: Roster,
        prices: Mapping[str, Price],
    ) -> None:
        self._database = database
        self._lookout = lookout
        self._roster = roster
        self._prices = prices

    async def report(self, query: CostQuery, now: datetime) -> dict[str, Any]:
        """Return ``{by, sinceMs, rows, total, agents, cheaper}``.

        Raises `NotFound` for an agent nobody knows.
        """
        if query.agent_id is not None:
            self._roster.refuse_stranger(query.agent_id, "nothing was added up")
        agents = [
            one
            for one in self._roster.agents.values()
            if query.agent_id is None or one.agent_id == query.agent_id.lower()
        ]
        since = now - LOOKED_AT if query.since is None else query.since
        earliest = min([since, now - PACE, *(_month(one.zone, now)[0] for one in agents)])
        wanted = None if query.agent_id is None else agents[0].agent_id
        every = await self._database.read(
            lambda tx: cost_rows.used(tx, "heartbeat", earliest, agent_id=wanted)
        )
        asked = [one for one in every if one.at >= since]
        usage = reduce(lambda sum_, one: sum_ + one.usage, asked, Usage(cost_usd=0.0))
        total = _sum(asked)
        cheaper = cheapest(usage, total.usd, self._prices)
        return {
            "by": query.by,
            "sinceMs": ms(since),
            "rows": _rows(asked, self._key(query.by))[-_MOST:],
            "total": _words(asked),
            "agents": [await self._of(one, every, now) for one in agents],
            "cheaper": None if cheaper is None else cheaper.to_json(),
        }

    def _key(self, by: str) -> Callable[[Used], str]:
        zone_of = self._zone
        match by:
            case "day":
                return lambda one: f"{one.at.astimezone(zone_of(one.agent_id)):%Y-%m-%d}"
            case "model":
                return lambda one: one.model or "unknown"
            case "beat":
                return lambda one: one.run_id
            case _:
                return lambda one: one.agent_id

    def _zone(self, agent_id: str) -> tzinfo:
        return self._roster.agent(agent_id).zone

    async def _of(
        self, agent: AgentProfile, every: Sequence[Used], now: datetime
    ) -> dict[str, Any]:
        """How one agent's month goes, and its budget of today."""
        begin, end = _month(agent.zone, now)
        mine = [one for one in every if one.agent_id == agent.agent_id]
        lately = [one for one in mine if one.at >= now - PACE]
        purse = await self._lookout.purse(agent, now)
        coming = beats_until(
            end, now, ran=len(lately), since=lately[0].at if lately else now - PACE
        )
        mean = mean_of(_sum(lately))
        if purse is not None and (room := purse.room(mean)) is not None:
            coming = min(coming, room * ((end - now) / timedelta(days=1)))
        found = forecast(mean, coming, spent=_sum([one for one in mine if one.at >= begin]))
        watched = now - lately[0].at if lately else timedelta()
        return {
            "agentId": agent.agent_id,
            "budget": None if purse is None else purse.to_json(),
            "month": None if found is None else _told(found, end, watched),
        }


def _told(found: Forecast, end: datetime, watched: timedelta) -> dict[str, Any]:
    """What the month will cost, if the beats were watched for long enough to tell."""
    words = {**found.to_json(), "endMs": ms(end), "watchedMs": watched // MILLISECOND}
    if watched >= SOONEST:
        return words
    return words | dict.fromkeys(("beats", "tokens", "usd", "tokensInAll", "usdInAll"))


def _month(zone: tzinfo, now: datetime) -> tuple[datetime, datetime]:
    """Return when the local month began and when it ends."""
    first = now.astimezone(zone).date().replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return midnight(first, zone), midnight(date(following.year, following.month, 1), zone)


def _sum(beats: Sequence[Used]) -> Spent:
    return sum(
        (
            Spent(runs=1, tokens=one.usage.total_tokens, usd=one.usage.cost_usd or 0.0)
            for one in beats
        ),
        NOTHING_SPENT,
    )


def _words(beats: Sequence[Used]) -> dict[str, Any]:
    found = _sum(beats)
    return {
        "runs": found.runs,
        "tokens": found.tokens,
        "inputTokens": sum(one.usage.input_tokens for one in beats),
        "outputTokens": sum(one.usage.output_tokens for one in beats),
        "costUsd": found.usd,
        "unpriced": sum(one.usage.cost_usd is None for one in beats),
    }


def _rows(beats: Sequence[Used], key: Callable[[Used], str]) -> list[dict[str, Any]]:
    groups: dict[str, list[Used]] = {}
    for one in beats:
        groups.setdefault(key(one), []).append(one)
    return [
        {
            "key": name,
            "agentIds": sorted({one.agent_id for one in some}),
            "models": sorted({one.model for one in some if one.model}),
            "lastAtMs": ms(some[-1].at),
            **_words(some),
        }
        for name, some in groups.items()
    ]
