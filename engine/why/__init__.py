"""Why no message came, or when the next may: the way of a beat, link by link. Pure.

The fourteen links and their codes are operations.md §10.1's. A link is judged by the same
gates, routes and reasons that decide about a beat, so that the answer cannot disagree with
what the engine does. Rooms: `chain` (links and what they come to), `facts` (what is known),
`before` and `after` (each link, before and after the agent is asked), `coming` (a slot to
come), `recorded` (a beat of the past, any run of a job), `gap` (no row at all), `reasons`
(where each reason for silence stands), `answer` (the sentence, as it is printed).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine.why import after, before, coming, gap, recorded
from engine.why.answer import When, answered, mended
from engine.why.chain import (
    Code,
    Link,
    Standing,
    acts,
    broken,
    cause,
    fix_line,
    is_act,
    is_command,
    read,
    unknown,
)
from engine.why.facts import Account, Facts, Gap, Recorded, Seen
from jobs.wallclock import ms

__all__ = [
    "Account",
    "Code",
    "Facts",
    "Gap",
    "Link",
    "Recorded",
    "Seen",
    "Standing",
    "When",
    "acts",
    "answered",
    "cause",
    "fix_line",
    "is_act",
    "is_command",
    "links",
    "mended",
    "read",
    "told_of_gap",
    "told_of_nothing",
    "told_of_now",
    "told_of_run",
    "told_of_slot",
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


def told_of_now(facts: Facts) -> dict[str, Any]:
    """The shape of `heartbeat.explain`: the links a gateway can tell, and when the next beat is."""
    return {
        "agentId": facts.agent_id,
        "when": When.NOW.value,
        "links": [link.to_json() for link in links(facts)],
        "nextDueAtMs": ms(facts.seen.next_due_at) if facts.seen is not None else None,
    }


def told_of_nothing(agent_id: str, what: str, fix: str) -> dict[str, Any]:
    """The same where not even the store can be read, with what it says."""
    rest = list(Code)[list(Code).index(Code.SCHEDULER) + 1 :]
    chain = [
        broken(Code.SCHEDULER, "not-armed", what, fix),
        *(unknown(code, "the store cannot be read") for code in rest),
    ]
    return {
        "agentId": agent_id,
        "when": When.NOW.value,
        "links": [link.to_json() for link in chain],
        "nextDueAtMs": None,
    }


def told_of_slot(facts: Facts, asked: datetime, *, following: list[datetime]) -> dict[str, Any]:
    """The same for a slot to come: ``facts.now``; ``following`` are those after it."""
    return {
        "agentId": facts.agent_id,
        "when": When.FUTURE.value,
        "atMs": ms(asked),
        "slotMs": ms(facts.now),
        "subject": coming.subject(facts),
        "links": [link.to_json() for link in coming.links(facts)],
        "followingMs": [ms(slot) for slot in following],
    }


def told_of_run(told: Recorded, asked: datetime | None = None) -> dict[str, Any]:
    """The same for what is on record: a beat that was, or a run of a job."""
    run = told.run
    words: dict[str, Any] = {
        "agentId": run.agent_id,
        "when": When.PAST.value,
        "atMs": ms(asked or told.at),
        "runId": run.id,
        "jobId": run.job_id,
        "slotMs": ms(run.slot),
        "trigger": run.trigger.value,
        "status": run.status.value,
        "reason": run.reason.value if run.reason is not None else None,
        "sessionKey": run.session_key,
        "deliveryKey": run.delivery_key,
        "subject": recorded.subject(told),
        "note": recorded.aside(told, asked) if asked is not None else None,
        "links": [link.to_json() for link in recorded.links(told)],
    }
    return {key: value for key, value in words.items() if value is not None}


def told_of_gap(missing: Gap) -> dict[str, Any]:
    """The same for an instant at which no beat is on record."""
    return {
        "agentId": missing.agent_id,
        "when": When.PAST.value,
        "atMs": ms(missing.at),
        "subject": gap.subject(missing),
        "links": [link.to_json() for link in gap.links(missing)],
    }
