"""Active hours in which no beat would come: told when a config is checked (heartbeat.md §4).

The engine beats when such a window opens, so that nothing is lost; the config means something
else, and whoever writes it should know before the night is over. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from engine.decisions import heartbeat
from engine.roster.roster import AgentProfile, Roster


def never_open(roster: Roster, seed: str | None, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield each agent whose active hours meet no beat of its grid, and what is wrong.

    Without the ``seed`` of an installation nobody knows where a hashed phase lies; what is
    wrong whatever it is, is said all the same.
    """
    for agent in roster.agents.values():
        words = _words(agent, seed, now)
        if words:
            yield agent.agent_id, words


def _words(agent: AgentProfile, seed: str | None, now: datetime) -> str | None:
    beat = agent.beat
    if beat.period is None or beat.active_hours is None:
        return None
    if seed is None and beat.phase is None:
        opens = beat.active_hours.contains(now) or beat.active_hours.next_opening(now) is not None
        return None if opens else heartbeat.shut(beat.active_hours)
    cadence = agent.cadence(seed or "", now)
    return None if cadence is None else cadence.warning
