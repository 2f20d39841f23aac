"""Agents and models as clients see them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.config.schema.models import Provider
from engine.roster.roster import AgentProfile, BeatProfile, Roster
from gateway.front import agents

MAIN = AgentProfile(
    agent_id="main",
    is_default=True,
    workspace=Path("/w"),
    zone=ZoneInfo("UTC"),
    model=None,
    fallbacks=(),
    thinking=None,
    turn_timeout=timedelta(minutes=10),
    beat=BeatProfile(period=timedelta(minutes=30)),
)
SILENT = replace(MAIN, beat=BeatProfile(period=None))


def roster(agent: AgentProfile) -> Roster:
    return Roster(
        agents={"main": agent}, default_id="main", main_key="main", default_zone=ZoneInfo("UTC")
    )


def test_a_cadence_is_told_in_words_and_milliseconds() -> None:
    assert agents.cadence_words(MAIN) == {"enabled": True, "every": "30m", "everyMs": 1_800_000}
    assert agents.cadence_words(SILENT) == {"enabled": False, "every": "0m", "everyMs": None}


def test_an_agent_without_a_name_is_called_by_its_id() -> None:
    assert agents.health_words(MAIN)["name"] == "main"
    assert agents.health_words(replace(MAIN, name="Ada"))["name"] == "Ada"


def test_seconds_are_those_of_the_default_agent() -> None:
    assert agents.heartbeat_seconds(roster(MAIN)) == 1800
    assert agents.heartbeat_seconds(roster(SILENT)) == 0


def test_an_agent_without_a_model_answers_offline() -> None:
    (told,) = agents.listing(roster(MAIN), scope="per-sender")["agents"]
    assert told["model"] == {"primary": "offline", "fallbacks": []}


def test_models_are_those_of_the_config_and_offline() -> None:
    provider = Provider.model_validate({"models": [{"id": "small", "name": "Small"}]})
    assert [one["id"] for one in agents.models({"openai": provider})] == ["offline", "small"]
