"""The engine as the RPC room sees it: wire shapes in, wire shapes out, nothing decided.

Keeps the promises of `gateway.rpc.core`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from engine import __version__, sessions as keys
from engine.agents.factory import OFFLINE
from engine.config import effective
from engine.config.load import Loaded
from engine.conversation import ChatTurn
from engine.core import Engine
from engine.outlet import find_route
from engine.route import TargetWish
from engine.store import events as event_rows, inbox, outbox, sessions as session_rows
from engine.target import Route
from engine.wake import NewEvent
from gateway.channels.base import AccountStatus, Channel
from gateway.rpc.core import ChatOrder, Outlet
from jobs.duration import format_duration
from jobs.errors import InvalidInput
from jobs.store import jobs as job_rows
from jobs.store.db import Tx
from jobs.store.rows import ms

ConfigOf = Callable[[], Loaded]


class Front:
    """One object with everything the methods call."""

    def __init__(
        self, engine: Engine, *, channels: Mapping[str, Channel], loaded: ConfigOf
    ) -> None:
        self._engine = engine
        self._channels = channels
        self._loaded = loaded
        self.scheduling = engine.scheduling
        self.control = engine.control
        self.heartbeats = FrontHeartbeats(engine)
        self.wakes = FrontWakes(engine)
        self.conversation = FrontConversation(engine)
        self.outlet: Outlet = engine.outlet
        self.sessions = FrontSessions(engine)
        self.inbox = FrontInbox(engine)

    async def health(self) -> dict[str, Any]:
        """The `health` object: counted off the request path."""
        roster = self._engine.roster
        counted = await self._engine.database.read(_counts)
        failing = self._engine.vitals.failing
        return {
            "ok": not failing,
            "failing": failing,
            "channels": self._channel_objects(),
            "channelOrder": list(self._channels),
            "channelLabels": {name: name for name in self._channels},
            "heartbeatSeconds": self._heartbeat_seconds(),
            "defaultAgentId": roster.default_id,
            "agents": [
                {
                    "agentId": agent.agent_id,
                    "name": agent.name or agent.agent_id,
                    "isDefault": agent.is_default,
                    "heartbeat": {
                        "enabled": agent.beat.period is not None,
                        "every": format_duration(agent.beat.period) if agent.beat.period else "0m",
                        "everyMs": _ms(agent.beat.period),
                        "prompt": agent.beat.prompt or "",
                        "target": agent.beat.wish.target,
                        "ackMaxChars": agent.beat.ack_max_chars,
                    },
                    "sessions": {"path": "", "count": 0, "recent": []},
                }
                for agent in roster.agents.values()
            ],
            "sessions": {"path": "", "count": counted["sessions"], "recent": []},
            "outbox": counted["outbox"],
            "queuedEvents": counted["events"],
            "plugins": {"loaded": [], "errors": []},
        }

    async def status(self) -> dict[str, Any]:
        """The `status` object."""
        roster = self._engine.roster
        listed = await self.sessions.listing({"limit": 20})
        counted = await self._engine.database.read(_counts)
        return {
            "runtimeVersion": __version__,
            "failing": self._engine.vitals.failing,
            "heartbeat": {
                "defaultAgentId": roster.default_id,
                "agents": [
                    {
                        "agentId": agent.agent_id,
                        "enabled": agent.beat.period is not None,
                        "every": format_duration(agent.beat.period) if agent.beat.period else "0m",
                        "everyMs": _ms(agent.beat.period),
                    }
                    for agent in roster.agents.values()
                ],
            },
            "channelSummary": [
                f"{name}: {status.account_id} {status.runtime}"
                for name, channel in self._channels.items()
                for status in channel.status()
            ],
            "queuedSystemEvents": counted["texts"],
            "outbox": counted["outbox"],
            "quarantinedJobs": counted["quarantined"],
            "sessions": {
                "paths": [],
                "count": listed["count"],
                "defaults": listed["defaults"],
                "recent": listed["sessions"],
                "byAgent": [
                    {
                        "agentId": agent_id,
                        "count": sum(s["agentId"] == agent_id for s in listed["sessions"]),
                        "recent": [s for s in listed["sessions"] if s["agentId"] == agent_id],
                    }
                    for agent_id in roster.agents
                ],
            },
        }

    def config_file(self) -> dict[str, Any]:
        """`config.get`, secrets in the clear: the handler masks them."""
        loaded = self._loaded()
        parsed = loaded.root.plain() if loaded.root is not None else {}
        return {
            "path": str(loaded.path),
            "exists": loaded.exists,
            "raw": loaded.text,
            "parsed": parsed,
            "config": parsed,
            "valid": True,
            "issues": [],
            "warnings": [f"{note.path}: {note.message}" for note in loaded.notes],
            "hash": loaded.hash,
        }

    def agents(self) -> dict[str, Any]:
        """`agents.list`."""
        roster = self._engine.roster
        return {
            "defaultId": roster.default_id,
            "mainKey": roster.main_key,
            "scope": self._engine.config.session.scope,
            "agents": [
                {
                    "id": agent.agent_id,
                    "name": agent.name or agent.agent_id,
                    "workspace": str(agent.workspace),
                    "model": {
                        "primary": agent.model or OFFLINE,
                        "fallbacks": list(agent.fallbacks),
                    },
                }
                for agent in roster.agents.values()
            ],
        }

    def models(self) -> Sequence[dict[str, Any]]:
        """`models.list` entries: what the config names, and `offline`."""
        listed = [{"id": OFFLINE, "name": OFFLINE, "provider": OFFLINE, "available": True}]
        for name, provider in self._engine.config.models.providers.items():
            listed += [
                {"id": model.id, "name": model.name or model.id, "provider": name}
                for model in provider.models
            ]
        return listed

    async def channels_status(
        self, *, probe: bool = False, channel: str | None = None
    ) -> dict[str, Any]:
        """`channels.status`; a probe asks every enabled account."""
        chosen = {name: one for name, one in self._channels.items() if channel in (None, "", name)}
        accounts: dict[str, list[dict[str, Any]]] = {}
        for name, one in chosen.items():
            accounts[name] = [await _account(one, status, probe=probe) for status in one.status()]
        config = self._engine.config
        return {
            "channelOrder": list(chosen),
            "channelLabels": {name: name for name in chosen},
            "channels": {k: v for k, v in self._channel_objects().items() if k in chosen},
            "channelAccounts": accounts,
            "channelDefaultAccountId": {
                name: effective.default_account_of(config, name)
                or next(iter(effective.account_ids(config, name)), "default")
                for name in chosen
            },
        }

    def _channel_objects(self) -> dict[str, Any]:
        return {
            name: {
                "configured": True,
                "running": any(status.runtime != "stopped" for status in channel.status()),
                "lastError": next(
                    (status.last_error for status in channel.status() if status.last_error), None
                ),
            }
            for name, channel in self._channels.items()
        }

    def _heartbeat_seconds(self) -> int:
        roster = self._engine.roster
        period = roster.agent(None).beat.period
        return int(period.total_seconds()) if period else 0


class FrontHeartbeats:
    """Beats as the record tells them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def last(self, agent_id: str | None = None) -> dict[str, Any] | None:
        """`last-heartbeat`."""
        return await self._engine.history.last(agent_id)

    async def listing(self) -> Sequence[dict[str, Any]]:
        """`heartbeat.list`."""
        return await self._engine.beat_jobs.listing()

    async def history(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`heartbeat.history`."""
        return await self._engine.history.page(params)

    async def set_enabled(
        self, enabled: bool, *, agent_id: str | None = None, by: str
    ) -> dict[str, Any]:
        """`set-heartbeats`."""
        return await self._engine.beat_jobs.set_enabled(enabled, agent_id=agent_id, by=by)


class FrontWakes:
    """Events, and the records of the beats that saw them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def system_event(self, event: NewEvent) -> dict[str, Any]:
        """Queue an event; with mode now it also wakes its agent."""
        return await self._engine.waking.system_event(event)

    async def wait(self, event_id: str, within: timedelta) -> dict[str, Any] | None:
        """The record of the beat that took the event up, or nothing in time."""
        run = await self._engine.waking.wait(event_id, within)
        if run is None:
            return None
        delivery = None
        if run.delivery_key is not None:
            key = run.delivery_key
            delivery = await self._engine.database.read(lambda tx: outbox.get(tx, key))
        return self._engine.history.told(run, delivery)


class FrontConversation:
    """Chat turns for clients: `agent` and `chat.send`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def check(self, order: ChatOrder) -> None:
        """Refuse an order whose answer could not be delivered; routes are read when it runs."""
        if not self._engine.roster.knows(order.agent_id):
            have = ", ".join(sorted(self._engine.roster.agents))
            raise InvalidInput(
                f"unknown agent id: {order.agent_id}", why=f"have: {have}", fix="name one of these"
            )

    async def converse(self, order: ChatOrder) -> dict[str, Any]:
        """Take the turn."""
        route = await self._route(order) if order.deliver else None
        answer = await self._engine.conversation.receive(
            ChatTurn(
                run_id=order.run_id,
                agent_id=order.agent_id,
                session_key=order.session_key,
                text=order.text,
                route=route,
                timeout=order.timeout,
                model=order.model,
                thinking=order.thinking,
                extra_system_prompt=order.extra_system_prompt,
            )
        )
        return answer.to_wire()

    async def _route(self, order: ChatOrder) -> Route | None:
        found = await find_route(
            self._engine.database,
            self._engine.roster,
            TargetWish(
                target=order.channel or "last",
                to=order.to,
                account_id=order.account_id,
                thread_id=order.thread_id,
                source="config",
            ),
            agent_id=order.agent_id,
            session_key=order.session_key,
        )
        if isinstance(found, Route):
            return found
        if order.best_effort:
            return None
        raise InvalidInput(
            "the answer cannot be delivered", why=found.because, fix=found.reason.fix
        )

    async def abort(self, session_key: str, run_id: str | None = None) -> Sequence[str]:
        """Cancel turns of a session."""
        return await self._engine.conversation.abort(session_key, run_id)


class FrontSessions:
    """Conversations as stored."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def resolve(self, agent_id: str | None, session_key: str | None) -> tuple[str, str]:
        """Agent and full session key; contradictions and strangers refused."""
        roster = self._engine.roster
        default = (agent_id or roster.default_id).lower()
        key = keys.normalise(session_key, default_agent=default, main=roster.main_key)
        agent = keys.agent_of(key, default_agent=default)
        if agent_id is not None and agent != agent_id.lower():
            raise InvalidInput(
                f"agentId {agent_id!r} does not match session key {session_key!r}",
                fix="leave one of them out",
            )
        if not roster.knows(agent):
            have = ", ".join(sorted(roster.agents))
            raise InvalidInput(
                f"unknown agent id: {agent}", why=f"have: {have}", fix="name one of these"
            )
        return agent, key

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`sessions.list`."""
        limit = max(1, min(int(params.get("limit") or 100), 1000))
        offset = max(0, int(params.get("offset") or 0))
        agent = params.get("agentId")
        found, total = await self._engine.database.read(
            lambda tx: session_rows.recent(tx, agent_id=agent, limit=limit, offset=offset)
        )
        more = offset + len(found) < total
        default = self._engine.roster.agent(None)
        provider, _, model = (default.model or OFFLINE).partition("/")
        return {
            "ts": ms(self._engine.clock.now()),
            "path": "",
            "count": len(found),
            "totalCount": total,
            "hasMore": more,
            "nextOffset": offset + len(found) if more else None,
            "defaults": {
                "modelProvider": provider,
                "model": model or provider,
                "contextTokens": None,
            },
            "sessions": [
                {
                    "key": session.key,
                    "kind": keys.kind_of(session.key),
                    "agentId": session.agent_id,
                    "sessionId": session.session_id,
                    "updatedAt": ms(session.updated_at),
                    "inputTokens": session.input_tokens,
                    "outputTokens": session.output_tokens,
                    "totalTokens": session.input_tokens + session.output_tokens,
                }
                for session in found
            ],
        }

    async def history(self, session_key: str, *, limit: int) -> dict[str, Any]:
        """`chat.history`, oldest first."""

        def work(tx: Tx) -> tuple[Any, Any]:
            return session_rows.get(tx, session_key), session_rows.history(tx, session_key, limit)

        session, messages = await self._engine.database.read(work)
        return {
            "sessionKey": session_key,
            "sessionId": session.session_id if session else None,
            "messages": [
                {
                    "role": message.role,
                    "content": [{"type": "text", "text": message.text}],
                    "timestamp": ms(message.at),
                }
                for message in messages
            ],
        }


class FrontInbox:
    """The inbox on this machine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def listing(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`inbox.list`, newest first."""
        limit = max(1, min(int(params.get("limit") or 50), 500))
        unseen_only = bool(params.get("unseen"))

        def work(tx: Tx) -> tuple[Any, int]:
            return inbox.page(tx, limit=limit, unseen=unseen_only), inbox.count_unseen(tx)

        (letters, total), unseen = await self._engine.database.read(work)
        return {
            "messages": [
                {
                    "id": letter.id,
                    "inbox": letter.inbox,
                    "kind": letter.kind,
                    "agentId": letter.agent_id,
                    "text": letter.text,
                    "atMs": ms(letter.at),
                    "seen": letter.seen_at is not None,
                }
                for letter in letters
            ],
            "total": total,
            "unseen": unseen,
        }

    async def ack(self, ids: Sequence[str] | None) -> dict[str, Any]:
        """`inbox.ack`."""
        now = self._engine.clock.now()
        acked = await self._engine.database.write(lambda tx: inbox.ack(tx, ids, now))
        return {"ok": True, "acked": acked}


def _counts(tx: Tx) -> dict[str, Any]:
    return {
        "events": event_rows.count(tx),
        "texts": [],
        "outbox": outbox.depth(tx),
        "sessions": session_rows.recent(tx, limit=1)[1],
        "quarantined": [job_id for job_id, _ in job_rows.quarantined(tx)],
    }


async def _account(channel: Channel, status: AccountStatus, *, probe: bool) -> dict[str, Any]:
    words = {
        "accountId": status.account_id,
        "enabled": status.enabled,
        "configured": status.configured,
        "running": status.runtime not in ("stopped", "fatal", "auth-failed"),
        "connected": status.runtime == "connected",
        "runtime": status.runtime,
        "lastError": status.last_error,
        "lastInboundAt": ms(status.last_inbound_at),
        "lastOutboundAt": ms(status.last_outbound_at),
        "tokenSource": status.token_source,
    }
    if probe and status.enabled:
        words["probe"] = dict(await channel.probe(status.account_id))
    return words


def _ms(span: timedelta | None) -> int | None:
    return None if span is None else span // timedelta(milliseconds=1)
