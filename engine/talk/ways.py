"""The routes conversations have taught, as people ask for them (channels.md §4).

Each with how and when it was learnt, whether a message could go there now, and if not, why.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engine.messages.route import LOCAL, NoRoute, TargetWish, found_words, resolve
from engine.messages.target import LastRoute
from engine.roster.roster import Roster
from engine.sessions import main_key
from engine.store import sessions
from jobs.store.db import Tx
from jobs.wallclock import ms

_LAST = TargetWish(target="last", source="config")


def listing(tx: Tx, roster: Roster, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`channels.routes`: newest first, and where `last` leads for each agent.

    Raises `NotFound` for an agent that is not configured and never was.
    """
    agent, channel = params.get("agentId"), params.get("channel")
    known = sessions.routes(tx, agent_id=None if agent is None else str(agent).lower())
    if agent and not known:
        roster.refuse_stranger(str(agent), "no routes were looked up")
    agents = (str(agent).lower(),) if agent else tuple(roster.agents)
    last = {
        one: sessions.last_route(tx, one, main_key(one, main=roster.main_key)) for one in agents
    }
    return {
        "ts": ms(now),
        "routes": [
            {**words(one, roster), "last": last.get(one.agent_id) == one}
            for one in known
            if channel in (None, one.channel)
        ],
        "last": {one: found_words(_led(route, one, roster)) for one, route in last.items()},
    }


def _led(route: LastRoute | None, agent_id: str, roster: Roster) -> Any:
    return resolve(_LAST, roster.route_facts(agent_id, route))


def words(route: LastRoute, roster: Roster) -> dict[str, Any]:
    """Return one route: where it leads, how it was learnt, whether it can be used."""
    told = {
        "agentId": route.agent_id,
        "sessionKey": route.session_key,
        "channel": route.channel,
        "accountId": route.account_id,
        "to": route.to,
        "threadId": route.thread_id,
        "chatType": route.chat_type.value,
        "peerLabel": route.peer_label,
        "setAtMs": ms(route.set_at),
        "setBy": route.set_by,
        **usable(route, roster),
    }
    return {key: value for key, value in told.items() if value is not None}


def usable(route: LastRoute, roster: Roster) -> dict[str, Any]:
    """Return whether a message could go there now, or why not and what to do."""
    if route.unusable is not None:
        return {
            "usable": False,
            "reason": route.unusable,
            "sinceMs": ms(route.unusable_at),
            "because": f"it refuses messages ({route.unusable}) until somebody writes from there",
            "fix": "in the chat: write to the bot",
        }
    if route.channel == LOCAL:
        return {"usable": True}
    facts = roster.route_facts(route.agent_id, route)
    if route.channel not in facts.channels:
        return {
            "usable": False,
            "reason": "unknown-account",
            "because": f"channel {route.channel} is not configured any more, or switched off",
            "fix": f"engine config get channels.{route.channel}",
        }
    found = resolve(_LAST, facts)
    if isinstance(found, NoRoute):
        return {
            "usable": False,
            "reason": found.reason.value,
            "because": found.because,
            "fix": found.own_fix or found.reason.fix_for("heartbeat", agent=route.agent_id),
        }
    return {"usable": True}
