"""What a change of the config does to the beats of a day, told before it is written.

operations.md §16 L14: one line for all agents switched seven of them on, and nobody saw it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from engine.cli.place import Place

if TYPE_CHECKING:
    from engine.config.load import Loaded

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


def fan_out(at: Place, before: Loaded, after: Loaded) -> FanOut:
    """Count the beats of a day by two configs."""
    return FanOut(_beats(at, before), _beats(at, after))


def warned(at: Place, before: Loaded, after: Loaded) -> Iterator[str]:
    """Lines to read before a change is written; none where it starts and ends nobody's beats."""
    found = fan_out(at, before, after)
    if not found.begins and not found.ends:
        return
    yield from found.lines
    if len(found.begins) > 1:
        one = found.begins[0]
        yield (
            f"This starts the beats of {len(found.begins)} agents. Only one:"
            f" engine heartbeat enable {one} --every 30m --target last"
        )


def _beats(at: Place, loaded: Loaded) -> dict[str, float]:
    from engine.roster.profiles import roster_of

    roster = roster_of(loaded.config, at.paths, at.zone)
    return {
        agent.agent_id: round(_DAY / agent.beat.period, 1)
        for agent in roster.agents.values()
        if agent.beat.period is not None
    }
