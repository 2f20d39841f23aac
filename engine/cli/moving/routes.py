"""Where conversations of the other home came from, so that `last` leads there at once. Pure.

channels.md §4: a route is learnt from a message that was let in; these were, over there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from engine.messages.address import ChatType
from engine.messages.target import PREFIXES, SERVED, LastRoute, parse_target
from jobs.errors import EngineError
from jobs.importing.report import Notes, Weight
from jobs.wallclock import instant

SET_BY: Final = "import"
_INSIDE: Final = frozenset(
    {"webchat", "internal", "main", "cli", "heartbeat", "cron-event", "none"}
)


def routes(sessions: Mapping[str, Any], notes: Notes, now: datetime) -> tuple[LastRoute, ...]:
    """Return the last route of every conversation that has one."""
    found = []
    for agent, rows in sessions.items():
        for key, entry in (rows if isinstance(rows, dict) else {}).items():
            if isinstance(entry, dict):
                one = _route(agent, str(key), entry, notes, now)
                if one is not None:
                    found.append(one)
    return tuple(found)


def _route(
    agent: str, key: str, entry: Mapping[str, Any], notes: Notes, now: datetime
) -> LastRoute | None:
    place = _place(entry)
    channel, to = place["channel"], place["to"]
    if not channel or not to or channel in _INSIDE or ":cron:" in key:
        return None
    ours = PREFIXES.get(channel)
    where = f"session {key}"
    if ours not in SERVED or ours is None:
        notes.add(Weight.LEFT_OUT, where, f"there is no channel {channel} here: no way back to it")
        return None
    try:
        peer = parse_target(ours, to)
    except EngineError as error:
        notes.add(Weight.LEFT_OUT, where, f"its last chat {to} is none here: {error.why}")
        return None
    said = str(entry.get("chatType") or "")
    known = said if said in {one.value for one in ChatType} else ""
    return LastRoute(
        agent_id=agent,
        session_key=key if key.startswith("agent:") else f"agent:{agent}:{key}",
        channel=ours,
        account_id=place["accountId"] or "default",
        to=peer.to,
        thread_id=place["threadId"] or peer.thread_id,
        chat_type=ChatType(known) if known else peer.chat_type,
        peer_label=_label(entry),
        set_at=min(instant(_at(entry)) or now, now),
        set_by=SET_BY,
    )


def _place(entry: Mapping[str, Any]) -> dict[str, str]:
    """Newer releases keep it together, older ones one by one."""
    context = entry.get("deliveryContext")
    context = context if isinstance(context, dict) else {}
    older = {"channel": "lastChannel", "to": "lastTo", "accountId": "lastAccountId"}
    older["threadId"] = "lastThreadId"
    found = {}
    for name, other in older.items():
        value = context.get(name) if context.get("to") else entry.get(other)
        found[name] = "" if value is None else str(value).strip()
    found["channel"] = found["channel"].lower()
    return found


def _label(entry: Mapping[str, Any]) -> str | None:
    origin = entry.get("origin")
    told = origin.get("label") if isinstance(origin, dict) else None
    return told if isinstance(told, str) and told else None


def _at(entry: Mapping[str, Any]) -> int | None:
    value = entry.get("updatedAt")
    return int(value) if isinstance(value, int | float) and value > 0 else None
