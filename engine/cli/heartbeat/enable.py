"""`engine heartbeat enable AGENT --every … --target …`: a block of its own, its cost shown first.

heartbeat.md §20, §3 [E] 4; operations.md §16 L14: a line that switches seven agents on, or all
others off, is seen before it is written.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from engine.cli.ask import Line
from engine.cli.config.changing import change, changed_text
from engine.cli.config.file import check
from engine.cli.heartbeat import hold as heartbeat_hold
from engine.cli.place import Place
from engine.config.effective import find_agent
from engine.config.load import Loaded
from engine.roster.profiles import roster_of
from engine.roster.roster import Roster
from jobs.errors import UsageError

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class FanOut:
    """Who beats how often in a day, before and after a change of the config."""

    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def begins(self) -> tuple[str, ...]:
        """Agents that will beat and did not."""
        return tuple(agent for agent in self.after if agent not in self.before)

    @property
    def ends(self) -> tuple[str, ...]:
        """Agents that did and will not."""
        return tuple(agent for agent in self.before if agent not in self.after)

    @property
    def lines(self) -> list[str]:
        """Say what it comes to."""
        each = ", ".join(f"{agent} {beats:g}" for agent, beats in self.after.items()) or "none"
        told = [
            f"Beats a day, each a model call at most: {each}; {sum(self.after.values()):g} in all."
        ]
        if self.ends:
            told.append(
                f"This ends the beats of {', '.join(self.ends)}: an agent with a block of its own"
                " beats alone. To keep them: engine config set agents.defaults.heartbeat.agents all"
            )
        return told

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "beatsPerDay": dict(self.after),
            "begins": list(self.begins),
            "ends": list(self.ends),
        }


def enable(line: Line, agent_id: str | None, block: Mapping[str, str]) -> None:
    """Switch an agent's beats on with these keys in its own block."""
    if agent_id is None:
        raise UsageError(
            "the heartbeat was not switched",
            why="--every and --target are written into one agent's block",
            fix="engine heartbeat enable main --every 30m --target last",
        )
    if not line.at_home:
        raise UsageError(
            "the heartbeat was not switched",
            why="the config of another machine is not written from here",
            fix="run it there",
        )
    place = line.place
    loaded = check(place)
    roster = _roster(place, loaded)
    roster.refuse_stranger(agent_id, "the heartbeat was not switched")
    known = find_agent(loaded.config, agent_id)  # in its own spelling: another would be another
    path = f"agents.list[id={agent_id if known is None else known.id}].heartbeat"
    text = changed_text(place, path, dict(block))
    then = _roster(place, check(place, {place.paths.config: text.encode()}))
    found = FanOut(_beats(roster), _beats(then))
    if not line.as_json:
        sys.stderr.write("".join(f"{one}\n" for one in found.lines))
    # First what can be refused: an agent nobody knows, a gateway that is not there.
    answer = line.call("set-heartbeats", {"enabled": True, "agentId": agent_id})
    change(place, path, dict(block))
    answer = {**answer, "wrote": {path: dict(block)}, "fanOut": found.to_json()}
    line.show(answer, lambda told: heartbeat_hold.switched(told, agent_id, on=True))


def _roster(place: Place, loaded: Loaded) -> Roster:
    return roster_of(loaded.config, place.paths, place.zone)


def _beats(roster: Roster) -> dict[str, float]:
    return {
        agent.agent_id: round(_DAY / agent.beat.period, 1)
        for agent in roster.agents.values()
        if agent.beat.period is not None
    }
