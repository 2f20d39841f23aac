"""The engine as the RPC room sees it: wire shapes in, wire shapes out, nothing decided.

Keeps the promises of `gateway.rpc.core`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from engine import __version__
from engine.config import effective
from engine.config.checks.channels import SHOWN
from engine.config.load import Loaded
from engine.core import Engine
from engine.store import (
    audit,
    events as event_rows,
    inbox as letters,
    kept,
    outbox,
    sessions as session_rows,
)
from engine.talk import ways
from gateway.channels.base import AccountStatus, Channel
from gateway.devices import Devices
from gateway.front import agents, channels as channel_words, quotas
from gateway.front.around import Around
from gateway.front.beats import FrontHeartbeats, FrontWakes
from gateway.front.conversations import FrontConversation, FrontSessionDesk
from gateway.front.figures import FrontFigures
from gateway.front.foresight import Foresight
from gateway.front.inbox import FrontInbox
from gateway.front.inquiries import FrontInquiries
from gateway.front.tools import FrontTools
from gateway.front.troubles import troubles
from gateway.pairing import Pairings
from gateway.rpc.core import Outlet
from gateway.rpc.core_admin import ConfigDesk, Host, Suspending, Switchboard
from jobs.store import jobs as job_rows
from jobs.store.db import Tx

ConfigOf = Callable[[], Loaded]
About = Callable[[str, str], Mapping[str, Any]]  # (channel, account)


PROBE: Final = 10.0  # seconds a platform has to answer (channels.md §12)


class Front:
    """One object with everything the methods call."""

    def __init__(
        self,
        engine: Engine,
        *,
        channels: Mapping[str, Channel],
        loaded: ConfigOf,
        foresight: Foresight,
        pairings: Pairings,
        devices: Devices,
        settings: ConfigDesk,
        switchboard: Switchboard,
        host: Host,
        around: Around,
        suspending: Suspending,
        about: About = lambda *_: {},
    ) -> None:
        self._about = about
        self._around = around
        self._engine = engine
        self.settings = settings
        self.switchboard = switchboard
        self.host = host
        self.suspending = suspending
        self.figures = FrontFigures(engine)
        self.tools = FrontTools(engine)
        self.pairings = pairings
        self.devices = devices
        self._channels = channels
        self._loaded = loaded
        self.scheduling = engine.scheduling
        self.control = engine.control
        self.outlook = engine.outlook
        self.foresight = foresight
        self.heartbeats = FrontHeartbeats(engine)
        self.inquiries = FrontInquiries(engine, channels)
        self.wakes = FrontWakes(engine)
        self.conversation = FrontConversation(engine)
        self.outlet: Outlet = engine.outlet
        self.sessions = FrontSessionDesk(engine)
        self.inbox = FrontInbox(engine)
        self.kept = engine.inbox_desk
        self.messages = engine.outbox_desk
        self.approvals = engine.approvals

    @property
    def standing(self) -> tuple[object, ...] | None:
        """What answers from rows and settings hang on."""
        return self._engine.standing

    async def health(self) -> dict[str, Any]:
        """The `health` object: counted off the request path."""
        roster = self._engine.roster
        now = self._engine.clock.now()
        counted = await self._engine.database.read(lambda tx: _counts(tx, now))
        failing = self._engine.vitals.failing
        told = await troubles(self._engine)
        files = await self._engine.shelf.held()
        around = await asyncio.to_thread(
            self._around.told,
            await self.scheduling.status(),
            await self.heartbeats.listing(),
            self._around.degraded(),
        )
        return {
            **around,
            "ok": not failing,
            "failing": failing,
            "troubles": [one.to_json() for one in told],
            "channels": channel_words.objects(self._channels),
            "channelOrder": list(self._channels),
            "channelLabels": {name: name for name in self._channels},
            "heartbeatSeconds": agents.heartbeat_seconds(roster),
            "defaultAgentId": roster.default_id,
            "agents": [agents.health_words(agent) for agent in roster.agents.values()],
            "sessions": {"path": "", "count": counted["sessions"], "recent": []},
            "outbox": counted["outbox"],
            "outboxAmiss": counted["amiss"],
            "inbox": counted["inbox"],
            "media": {"files": files.files, "bytes": files.size},
            "queuedEvents": counted["events"],
            "plugins": {"loaded": [], "errors": []},
        }

    async def status(self) -> dict[str, Any]:
        """The `status` object; lists that are always empty are added by the handler."""
        roster = self._engine.roster
        listed = await self.sessions.listing({"limit": 20})
        now = self._engine.clock.now()
        counted = await self._engine.database.read(lambda tx: _counts(tx, now))
        recent = listed["sessions"]
        by_agent = {name: [s for s in recent if s["agentId"] == name] for name in roster.agents}
        return {
            "runtimeVersion": __version__,
            "failing": self._engine.vitals.failing,
            "heartbeat": {
                "defaultAgentId": roster.default_id,
                "agents": [
                    {"agentId": agent.agent_id, **agents.cadence_words(agent)}
                    for agent in roster.agents.values()
                ],
            },
            "channelSummary": channel_words.summary(self._channels),
            "outbox": counted["outbox"],
            "inbox": counted["inbox"],
            "quarantinedJobs": counted["quarantined"],
            "sessions": {
                "paths": [],
                "count": listed["count"],
                "defaults": listed["defaults"],
                "recent": recent,
                "byAgent": [
                    {"agentId": name, "count": len(own), "recent": own}
                    for name, own in by_agent.items()
                ],
            },
        }

    def agents(self) -> dict[str, Any]:
        """`agents.list`."""
        return agents.listing(self._engine.roster, scope=self._engine.config.session.scope)

    def models(self) -> Sequence[dict[str, Any]]:
        """`models.list` entries."""
        return agents.models(self._engine.config.models.providers)

    async def channels_status(
        self, *, probe: bool = False, channel: str | None = None
    ) -> dict[str, Any]:
        """`channels.status`; a probe asks every enabled account."""
        chosen = {name: one for name, one in self._channels.items() if channel in (None, "", name)}
        accounts: dict[str, list[dict[str, Any]]] = {}
        for name, one in chosen.items():
            accounts[name] = await asyncio.gather(
                *(_account(one, status, probe=probe) for status in one.status())
            )
        now = self._engine.clock.now()
        await self._engine.database.read(lambda tx: self._add_facts(tx, accounts, now))
        config = self._engine.config
        return {
            "channelOrder": list(chosen),
            "channelLabels": {name: name for name in chosen},
            "channels": channel_words.objects(chosen),
            "channelAccounts": accounts,
            "warnings": [one.message for one in self._loaded().notes if one.code in SHOWN],
            "channelDefaultAccountId": {
                name: effective.default_account_of(config, name)
                or next(iter(effective.account_ids(config, name)), effective.DEFAULT_ACCOUNT)
                for name in chosen
            },
        }

    def _add_facts(
        self, tx: Tx, accounts: Mapping[str, list[dict[str, Any]]], now: datetime
    ) -> None:
        """Add to each account what its channel does not know (channels.md §12)."""
        refused = audit.last_refused(tx)
        left, heard = outbox.left_by(tx), session_rows.heard_by(tx)
        for name, rows in accounts.items():
            for row in rows:
                here = (name, str(row["accountId"]))
                drop = {"lastDrop": refused[here]} if here in refused else {}
                channel_words.add_past(row, left.get(here), heard.get(here))
                row.update(quotas.left(tx, self._channels[name], here[1], now))
                row.update(queued=outbox.waiting_of(tx, *here), **{**drop, **self._about(*here)})

    async def channels_routes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`channels.routes`."""
        now = self._engine.clock.now()
        return await self._engine.database.read(
            lambda tx: ways.listing(tx, self._engine.roster, params, now)
        )


def _counts(tx: Tx, now: datetime) -> dict[str, Any]:
    return {
        "inbox": {"unseen": letters.count_unseen(tx), "undelivered": kept.count_unread(tx, now)},
        "events": event_rows.count(tx),
        "outbox": outbox.depth(tx),
        "amiss": outbox.amiss(tx, now),
        "sessions": session_rows.recent(tx, limit=1)[1],
        "quarantined": [job_id for job_id, _ in job_rows.quarantined(tx)],
    }


async def _account(channel: Channel, status: AccountStatus, *, probe: bool) -> dict[str, Any]:
    words = channel_words.account_words(status)
    if probe and status.enabled:
        words["probe"] = await _probed(channel, status.account_id)
    return words


async def _probed(channel: Channel, account_id: str) -> dict[str, Any]:
    """What the platform says of an account; one that says nothing is not waited for."""
    try:
        async with asyncio.timeout(PROBE):
            return dict(await channel.probe(account_id))
    except TimeoutError:
        return {"ok": False, "detail": f"probe failed: no answer within {PROBE:g} s"}
