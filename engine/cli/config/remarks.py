"""What is worth knowing of a config that is valid: jobs that never run, hours that never open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.cli import offline
from engine.cli.place import Place
from engine.clock import SystemClock

if TYPE_CHECKING:
    from datetime import datetime

    from engine.config.issues import Note
    from engine.config.load import Loaded
    from engine.config.schema import Config


def remarks(at: Place, loaded: Loaded) -> Iterator[Note]:
    """Yield them, for this home and this hour."""
    from engine.config import jobs

    now = SystemClock().now()
    yield from jobs.remarks(loaded.config, now, at.zone)
    yield from _hours(at, loaded, now)


def _hours(at: Place, loaded: Loaded, now: datetime) -> Iterator[Note]:
    """Active hours no beat would come in (heartbeat.md §4)."""
    from engine.config.calendars import calendars
    from engine.config.issues import Note
    from engine.roster.never_open import never_open
    from engine.roster.profiles import roster_of

    config = loaded.config
    known = calendars(config, at.paths.config.parent, now, at.zone)
    roster = roster_of(config, at.paths, at.zone, calendars=known)
    for agent_id, words in never_open(roster, offline.installation(at.paths), now):
        yield Note(
            code="heartbeat.window_never_open",
            path=_where(loaded.config, agent_id),
            message=f"agent {agent_id}: {words}",
            level="warning",
        )


def _where(config: Config, agent_id: str) -> str:
    """Whose hours they are: the agent's own, or those of the defaults."""
    for n, agent in enumerate(config.agents.list):
        block = agent.heartbeat
        if agent.id.lower() == agent_id and block and "active_hours" in block.model_fields_set:
            return f"agents.list.{n}.heartbeat.activeHours"
    return "agents.defaults.heartbeat.activeHours"
