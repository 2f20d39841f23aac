"""Frozen time for your own tests: the real engine, a clock you move, nothing sent anywhere.

    async def test_my_morning_brief(engine_sim):  # the fixture comes with the package
        sim = engine_sim(config="engine.json", start="2026-03-28 00:00", zone="Europe/London")
        week = await sim.until("2026-03-31 00:00")
        assert [run.local for run in week.runs("morning-brief")] == ["09:00", "09:00", "09:00"]

Names are imported when they are used, so that a plugin that is loaded and not used costs
nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.testing.agent import ScriptedAgent as ScriptedAgent
    from engine.testing.clock import ManualClock as ManualClock
    from engine.testing.report import Report as Report, SimulatedRun as SimulatedRun
    from engine.testing.simulation import Simulation as Simulation, simulate as simulate
    from engine.testing.telegram import TelegramStandIn as TelegramStandIn

_HOMES = {
    "ManualClock": "clock",
    "Report": "report",
    "ScriptedAgent": "agent",
    "SimulatedRun": "report",
    "Simulation": "simulation",
    "TelegramStandIn": "telegram",
    "simulate": "simulation",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
