"""Why no message came, or when the next may: the way of a beat, link by link. Pure.

The fourteen links and their codes are operations.md §10.1's. A link is judged by the same
gates, routes and reasons that decide about a beat, so that the answer cannot disagree with
what the engine does. Rooms: `chain` (links and what they come to), `facts` (what is known),
`before` and `after` (each link, before and after the agent is asked), `reasons` (where each
reason for silence stands).
"""

from __future__ import annotations

from typing import Any

from engine.why import after, before
from engine.why.chain import Code, Link, Standing, cause, fix_line, read
from engine.why.facts import Account, Facts, Seen
from jobs.wallclock import ms

__all__ = [
    "Account",
    "Code",
    "Facts",
    "Link",
    "Seen",
    "Standing",
    "cause",
    "fix_line",
    "links",
    "read",
    "to_json",
]


def links(facts: Facts) -> tuple[Link, ...]:
    """Return the links from the scheduler to the receipt, broken or not."""
    stops = before.stops_of(facts)
    return (
        before.scheduler(facts),
        before.heartbeat(facts, stops),
        before.window(facts, stops),
        before.gate(facts, stops),
        before.checklist(facts, stops),
        after.model(facts),
        after.reply(facts),
        *after.target(facts),
        after.channel(facts),
        after.policy(facts),
        after.delivery(facts.delivery, "no message of this agent was ever on its way"),
    )


def to_json(facts: Facts) -> dict[str, Any]:
    """The shape of `heartbeat.explain`: the links a gateway can tell, and when the next beat is."""
    return {
        "agentId": facts.agent_id,
        "links": [link.to_json() for link in links(facts)],
        "nextDueAtMs": ms(facts.seen.next_due_at) if facts.seen is not None else None,
    }
