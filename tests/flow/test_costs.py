"""What beats cost: the ledger by agent, day, model and beat, the month, a cheaper model (§25)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.agents.base import TurnReply, TurnRequest
from engine.agents.configured import prices
from engine.inquiry.costs import Costs, query_of
from engine.pytest_plugin import EngineSim
from engine.testing import Simulation
from jobs.errors import NotFound
from jobs.ledger import Usage

DAY = timedelta(days=1)
MODELS = {
    "providers": {
        "dear": {
            "baseUrl": "http://127.0.0.1:9/v1",
            "models": [{"id": "pro", "cost": {"input": 100, "output": 100}}],
        },
        "cheap": {
            "baseUrl": "http://127.0.0.1:9/v1",
            "models": [{"id": "nano", "cost": {"input": 1, "output": 1}}],
        },
    }
}
CONFIG: dict[str, Any] = {
    "models": MODELS,
    "agents": {
        "defaults": {
            "heartbeat": {"every": "6h", "target": "none", "budget": {"costPerDay": 0.5}},
        },
        "list": [{"id": "main"}, {"id": "ops"}],
    },
}


class Priced:
    """An agent of which each answer costs a thousand tokens, and ten cents if it is priced."""

    def __init__(self, usd: float | None = 0.1) -> None:
        self.usd = usd

    async def answer(self, request: TurnRequest) -> TurnReply:
        usage = Usage(input_tokens=900, output_tokens=100, cost_usd=self.usd)
        return TurnReply(
            payloads=("HEARTBEAT_OK",), usage=usage, model="pro", provider="dear", reasoning=None
        )


async def spent(sim: Simulation, **params: Any) -> dict[str, Any]:
    engine = sim.engine
    costs = Costs(
        database=engine.database,
        lookout=engine.lookout,
        roster=engine.roster,
        prices=prices(engine.config),
    )
    return await costs.report(query_of(params), sim.now())


@pytest.fixture
async def week(engine_sim: EngineSim) -> Simulation:
    """Ten days from the first of June: eight beats a day, 80 cents."""
    sim = engine_sim(CONFIG, start="2026-06-01 00:00", zone="UTC", agent=Priced(), checklist="- x")
    await sim.advance(10 * DAY)
    return sim


async def test_the_ledger_adds_up_by_whatever_is_asked(week: Simulation) -> None:
    by_agent = await spent(week, by="agent")
    assert {row["key"]: row["runs"] for row in by_agent["rows"]} == {"main": 40, "ops": 40}
    assert by_agent["total"]["tokens"] == 80_000
    assert by_agent["total"]["costUsd"] == pytest.approx(8.0)
    by_day = await spent(week, by="day", agentId="ops")
    assert [row["key"] for row in by_day["rows"]] == [f"2026-06-{n:02}" for n in range(1, 11)]
    assert {round(row["costUsd"], 2) for row in by_day["rows"]} == {0.4}
    (model,) = (await spent(week, by="model"))["rows"]
    assert (model["key"], model["runs"]) == ("dear/pro", 80)
    beats = await spent(week, by="beat", sinceMs=int(week.now().timestamp() * 1000) - 86_400_000)
    assert len(beats["rows"]) == 8


async def test_the_month_is_foretold_at_the_pace_of_late(week: Simulation) -> None:
    main, _ = (await spent(week))["agents"]
    month = main["month"]
    assert month["spent"]["costUsd"] == pytest.approx(4.0)
    assert month["usdInAll"] == pytest.approx(12.0, rel=0.03)  # 30 days of 40 cents
    assert month["endMs"] == 1_782_864_000_000  # 2026-07-01T00:00Z


async def test_a_budget_stands_beside_what_is_spent_of_it(week: Simulation) -> None:
    await week.advance(DAY - timedelta(minutes=1))  # the day is not over yet
    budget = (await spent(week))["agents"][0]["budget"]
    assert budget["limits"] == {"costPerDay": 0.5}
    assert budget["spent"]["costUsd"] == pytest.approx(0.4)
    assert budget["low"] == "80% of today's budget is spent"


async def test_a_cheaper_model_is_named_with_what_it_would_have_cost(week: Simulation) -> None:
    cheaper = (await spent(week))["cheaper"]
    assert cheaper["model"] == "cheap/nano"
    assert cheaper["costUsd"] == pytest.approx(0.08)
    assert cheaper["insteadOfUsd"] == pytest.approx(8.0)


async def test_without_a_price_there_are_tokens_and_no_money(engine_sim: EngineSim) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01", zone="UTC", agent=Priced(None), checklist="- x")
    await sim.advance(2 * DAY)
    told = await spent(sim)
    assert (told["total"]["unpriced"], told["total"]["tokens"]) == (16, 16_000)
    assert told["cheaper"] is None
    month = told["agents"][0]["month"]
    assert month["usdInAll"] is None
    assert month["tokensInAll"] == pytest.approx(120_000, rel=0.3)


async def test_of_a_part_of_a_day_no_month_is_foretold(engine_sim: EngineSim) -> None:
    sim = engine_sim(CONFIG, start="2026-06-01", zone="UTC", agent=Priced(), checklist="- x")
    await sim.advance(DAY / 2)
    early = (await spent(sim))["agents"][0]["month"]
    assert early["spent"]["costUsd"] == pytest.approx(0.2)
    assert early["tokensPerBeat"] == pytest.approx(1000)
    assert {early[key] for key in ("beats", "tokens", "usd", "tokensInAll", "usdInAll")} == {None}
    assert early["watchedMs"] < DAY.total_seconds() * 1000
    await sim.advance(2 * DAY)
    later = (await spent(sim))["agents"][0]["month"]
    assert later["usdInAll"] > later["spent"]["costUsd"]
    assert later["watchedMs"] > DAY.total_seconds() * 1000


async def test_an_agent_nobody_knows_is_refused(week: Simulation) -> None:
    with pytest.raises(NotFound, match="nothing was added up"):
        await spent(week, agentId="nobody")
