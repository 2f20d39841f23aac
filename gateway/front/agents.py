"""Agents and models as clients see them (protocol.md §10.1, §10.4). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from engine.agents.factory import OFFLINE
from engine.config.schema.models import Provider
from engine.roster.roster import AgentProfile, Roster
from jobs.duration import format_duration


def cadence_words(agent: AgentProfile) -> dict[str, Any]:
    """Whether an agent beats, and how often."""
    period = agent.beat.period
    return {
        "enabled": period is not None,
        "every": "0m" if period is None else format_duration(period),
        "everyMs": None if period is None else period // timedelta(milliseconds=1),
    }


def health_words(agent: AgentProfile) -> dict[str, Any]:
    """One agent of `health`."""
    beat = agent.beat
    return {
        "agentId": agent.agent_id,
        "name": agent.name or agent.agent_id,
        "isDefault": agent.is_default,
        "heartbeat": {
            **cadence_words(agent),
            "prompt": beat.prompt or "",
            "target": beat.wish.target,
            "ackMaxChars": beat.ack_max_chars,
        },
        "sessions": {"path": "", "count": 0, "recent": []},
    }


def listing(roster: Roster, *, scope: str) -> dict[str, Any]:
    """`agents.list`."""
    return {
        "defaultId": roster.default_id,
        "mainKey": roster.main_key,
        "scope": scope,
        "agents": [
            {
                "id": agent.agent_id,
                "name": agent.name or agent.agent_id,
                "workspace": str(agent.workspace),
                "model": {"primary": agent.model or OFFLINE, "fallbacks": list(agent.fallbacks)},
            }
            for agent in roster.agents.values()
        ],
    }


def models(providers: Mapping[str, Provider]) -> list[dict[str, Any]]:
    """`models.list` entries: what the config names, and `offline`."""
    offline = {"id": OFFLINE, "name": OFFLINE, "provider": OFFLINE, "available": True}
    named = [
        {
            "id": model.id,
            "name": model.name or model.id,
            "provider": name,
            "input": list(model.input),
            "reasoning": model.reasoning,
        }
        for name, provider in providers.items()
        for model in provider.models
    ]
    return [offline, *named]


def heartbeat_seconds(roster: Roster) -> int:
    """Seconds between two beats of the default agent; 0 when it has none."""
    period = roster.agent(None).beat.period
    return int(period.total_seconds()) if period else 0
