"""Two simulations of beats compared: slots gained and lost, gates, messages (§25-3). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.testing.report import Report, SimulatedRun
from jobs.wallclock import ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """The beats of one agent under one config."""

    slots: Mapping[datetime, str]  # slot → runs, or the reason why not
    messages: int = 0

    @property
    def ran(self) -> int:
        """How many asked the model."""
        return sum(word == "runs" for word in self.slots.values())

    @property
    def gates(self) -> dict[str, int]:
        """How many came to what, most first."""
        return dict(Counter(self.slots.values()).most_common())

    def to_json(self) -> dict[str, Any]:
        """Return it as `heartbeat simulate --json` prints it."""
        return {
            "slots": len(self.slots),
            "runs": self.ran,
            "gates": self.gates,
            "messages": self.messages,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What another config changes for one agent."""

    agent_id: str
    before: Side
    after: Side

    @property
    def gained(self) -> Sequence[datetime]:
        """Slots there are only with the other config."""
        return sorted(self.after.slots.keys() - self.before.slots.keys())

    @property
    def lost(self) -> Sequence[datetime]:
        """Slots there are no more."""
        return sorted(self.before.slots.keys() - self.after.slots.keys())

    @property
    def changed(self) -> dict[tuple[str, str], int]:
        """Of the slots in both: how many come to something else, by what and what."""
        both = self.before.slots.keys() & self.after.slots.keys()
        pairs = Counter((self.before.slots[at], self.after.slots[at]) for at in both)
        return {pair: count for pair, count in pairs.most_common() if pair[0] != pair[1]}

    def to_json(self) -> dict[str, Any]:
        """Return it as `heartbeat simulate --json` prints it."""
        return {
            "agentId": self.agent_id,
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "gainedMs": [ms(at) for at in self.gained],
            "lostMs": [ms(at) for at in self.lost],
            "changed": [
                {"from": was, "to": now, "count": count}
                for (was, now), count in self.changed.items()
            ],
        }


def sides(report: Report) -> dict[str, Side]:
    """Return the beats of a simulation, agent by agent."""
    found: dict[str, list[SimulatedRun]] = {}
    for row in report.beats.rows:
        found.setdefault(row.row.agent_id or "main", []).append(row)
    sent = Counter(
        one.run_id for one in report.deliveries if one.state == "delivered" and one.run_id
    )
    return {
        agent: Side(
            slots={row.row.slot: _word(row) for row in rows if row.row.slot is not None},
            messages=sum(sent[row.row.id] for row in rows),
        )
        for agent, rows in sorted(found.items())
    }


def difference(before: Report, after: Report) -> list[Difference]:
    """Compare two simulations of the same time."""
    one, other = sides(before), sides(after)
    nothing = Side(slots={})
    return [
        Difference(agent_id=agent, before=one.get(agent, nothing), after=other.get(agent, nothing))
        for agent in sorted(one.keys() | other.keys())
    ]


def _word(row: SimulatedRun) -> str:
    return "runs" if row.ran else row.reason or row.status
