"""Why a message came, did not come, or will come: `engine.inquiry` on the live rooms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engine import why
from engine.core import Engine
from engine.inquiry import Inquiry, told_of_run
from gateway.channels.base import Channel


class FrontInquiries:
    """Answers why."""

    def __init__(self, engine: Engine, channels: Mapping[str, Channel]) -> None:
        self._engine = engine
        self._channels = channels

    async def silence(
        self, agent_id: str | None = None, *, at: datetime | None = None
    ) -> dict[str, Any]:
        """`heartbeat.explain`: the links from the scheduler to the receipt, now or then."""
        engine = self._engine
        inquiry = Inquiry(
            database=engine.database,
            lookout=engine.lookout,
            roster=engine.roster,
            config=engine.config,
            ahead=engine.coming.lookout,
        )
        told = await inquiry.told(
            agent_id,
            engine.clock.now(),
            at=at,
            account_of=self._account,
            failing=engine.vitals.failing,
        )
        return why.answered(told)

    async def run(self, ref: str) -> dict[str, Any]:
        """`cron.explain` of a run: its id, the start of it, or its job."""
        roster = self._engine.roster
        told = await self._engine.database.read(
            lambda tx: told_of_run(tx, ref, zone_of=lambda agent: roster.agent(agent).zone)
        )
        return why.answered(told)

    def _account(self, channel_id: str, account_id: str) -> why.Account | None:
        channel = self._channels.get(channel_id)
        for status in channel.status() if channel is not None else ():
            if status.account_id == account_id:
                name = channel_id if account_id == "default" else f"{channel_id}/{account_id}"
                return why.Account(name=name, connected=status.connected, error=status.last_error)
        return None
