"""Agents, their checklists and what they think with, by the config (operations.md §10)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.cli import offline
from engine.cli.doctor.facts import AgentFacts, BackendFacts, ServiceFacts
from engine.cli.place import Place
from jobs.errors import EngineError

if TYPE_CHECKING:
    from engine.config.load import Loaded
    from engine.roster.roster import AgentProfile, Roster

_DAY: Final = timedelta(days=1)
_FILE: Final = "HEARTBEAT.md"
_LOCAL: Final = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")  # noqa: S104 - read, never bound
_OFFLINE: Final = "offline"


def agents(place: Place, loaded: Loaded | None, now: datetime) -> tuple[AgentFacts, ...] | None:
    """Return the agents that have beats; None where no config can be read."""
    if loaded is None or not loaded.exists:
        return None
    from engine.roster.never_open import never_open
    from engine.roster.profiles import roster_of

    try:
        roster: Roster = roster_of(loaded.config, place.paths, place.zone)
        seed = offline.installation(place.paths)
        shut = dict(never_open(roster, seed, now))
    except EngineError:
        return None
    found = [one for one in roster.agents.values() if one.beat.period]
    return tuple(_agent(place, loaded, one, shut.get(one.agent_id)) for one in found)


def _agent(place: Place, loaded: Loaded, agent: AgentProfile, shut: str | None) -> AgentFacts:
    file = agent.workspace / _FILE
    model = agent.beat.model or agent.model
    model = None if model in (None, _OFFLINE) else model
    hours = agent.beat.active_hours
    period = agent.beat.period or _DAY
    return AgentFacts(
        id=agent.agent_id,
        file=str(file),
        file_bytes=_size(file),
        never_open=shut,
        window_in_host_zone=hours is not None and _zone_is_host(place, loaded, agent.agent_id),
        beats_a_day=round(_DAY / period, 1),
        model=model,
        model_key=model is None or _has_key(loaded, model),
    )


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _zone_is_host(place: Place, loaded: Loaded, agent_id: str) -> bool:
    """Whether hours that name no zone would be kept in UTC because the machine does."""
    from engine.config import effective
    from engine.config.schema.agents import ActiveHours

    config = loaded.config
    entry = effective.find_agent(config, agent_id)
    if entry is None or place.zone != "UTC" or (effective.user_zone(config, entry) or "").strip():
        return False
    given = effective.heartbeat(config, entry).active_hours or ()
    windows = (given,) if isinstance(given, ActiveHours) else given
    return any((one.timezone or "user").strip() == "user" for one in windows)


def _has_key(loaded: Loaded, model: str) -> bool:
    provider = loaded.config.models.providers.get(model.partition("/")[0])
    if provider is None or provider.api_key:
        return True  # one that is not there is told as `runner.model_unknown`
    return any(name in (provider.base_url or "") for name in _LOCAL) or bool(provider.headers)


def backends(
    loaded: Loaded | None, place: Place, service: ServiceFacts
) -> tuple[BackendFacts, ...]:
    """Return the commands that agents are asked by."""
    return () if loaded is None else tuple(_backends(loaded, place, service))


def _backends(loaded: Loaded, place: Place, service: ServiceFacts) -> Iterator[BackendFacts]:
    ours = place.environ.get("PATH")
    theirs = service.path if service.installed and service.path else ours
    for name, backend in loaded.config.agents.defaults.cli_backends.items():
        yield BackendFacts(
            id=name,
            command=backend.command,
            in_shell=shutil.which(backend.command, path=ours) is not None,
            in_service=shutil.which(backend.command, path=theirs) is not None,
        )
