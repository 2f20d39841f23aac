"""The walk for a slot to come: the gates as they would decide then, by what is known now.

Nobody knows what the agent will say, who will be busy, or what a platform will answer.
"""

from __future__ import annotations

from dataclasses import replace

from engine.why import after, before
from engine.why.chain import Code, Link, Standing, ok, unknown
from engine.why.facts import Facts


def links(facts: Facts) -> tuple[Link, ...]:
    """Return the links of the beat whose slot is ``facts.now``."""
    stops = before.stops_of(facts)
    return (
        before.scheduler(facts),
        before.heartbeat(facts, stops),
        _window(facts, before.window(facts, stops)),
        _gate(before.gate(facts, stops)),
        before.checklist(facts, stops),
        _warned(after.model(facts)),
        unknown(Code.REPLY, "nobody knows what the agent will say"),
        *after.target(facts),
        _warned(after.channel(facts)),
        after.policy(facts),
        unknown(Code.DELIVERY, "nothing has been sent yet"),
    )


def subject(facts: Facts) -> str:
    """Name the beat."""
    seen = facts.seen
    zone = seen.snapshot.zone if seen is not None else facts.now.tzinfo
    return (
        f"the beat of {facts.agent_id} at {facts.now.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone})"
    )


def _window(facts: Facts, link: Link) -> Link:
    """Its time is what was asked for: nobody waits."""
    if link.state is not Standing.WAITING or facts.seen is None:
        return link
    hours = facts.seen.snapshot.active_hours
    return ok(Code.WINDOW, f"inside the active hours {hours.describe()}" if hours else "its slot")


def _gate(link: Link) -> Link:
    return link if link.state is not Standing.OK else ok(Code.GATE, "nothing known holds it back")


def _warned(link: Link) -> Link:
    """What does not work now may work then."""
    return replace(link, state=Standing.WARN) if link.state is Standing.BROKEN else link
