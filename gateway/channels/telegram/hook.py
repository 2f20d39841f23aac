"""A Telegram account whose updates are brought to us (channels.md §9).

The platform rings at our own port; an update is confirmed once it is durable, not after its
turn. Every few minutes the platform is asked whether it still knows where to ring.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from engine.clock import Clock
from engine.messages.fault import Fault, FaultClass
from gateway.channels.base import Admit, ChannelError
from gateway.channels.foreign import whole
from gateway.channels.telegram.account import ALLOWED_UPDATES, Webhook, migration, parse_update
from gateway.channels.telegram.door import Bell, Doors
from gateway.channels.telegram.greeting import introduced, nobody, offer_commands
from gateway.channels.telegram.live import Live
from gateway.channels.telegram.patience import Streak, after
from jobs.errors import EngineError

log = logging.getLogger(__name__)

LOOKED_AFTER: Final = timedelta(minutes=5)
GOODBYE: Final = 5.0  # seconds a stop gives the platform to forget us


@dataclass(slots=True, eq=False, kw_only=True)
class Hook:
    """The webhook of one account."""

    live: Live
    hook: Webhook
    admit: Admit
    clock: Clock
    doors: Doors
    moved: Callable[[str, str], Awaitable[None]]  # a chat has a new id
    _streak: Streak = field(default_factory=Streak)
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _set: bool = False
    _told_at: int = 0  # when the platform failed to reach us last, in its seconds

    async def serve(self) -> None:
        """Be reachable for ever. Only a refused token ends it."""
        while not self.live.over:
            try:
                if not self._set:
                    await self._open()
                else:
                    await self._look_after()
                self._streak = Streak()
                await self.clock.sleep_until(self.clock.now() + LOOKED_AFTER)
            except ChannelError as error:
                await self._trouble(error.fault)
            except EngineError as error:  # the port is not to be had
                detail = f"{error.what} ({error.fix})" if error.fix else error.what
                await self._trouble(Fault(fault=FaultClass.NETWORK_PRESEND, detail=detail))

    async def goodbye(self) -> None:
        """Nobody is here any more: the platform keeps what comes until somebody is again."""
        if not self._set:
            return
        with contextlib.suppress(ChannelError, TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self.live.polling.call("deleteWebhook", {"drop_pending_updates": False})

    async def _open(self) -> None:
        """Listen first, then tell the platform where."""
        live, hook = self.live, self.hook
        live.show("connecting")
        live.me = await introduced(live)
        bell = Bell(hook.path, hook.secret, self._taken)
        live.port = await self.doors.hang(bell, hook.host, hook.port)
        await self._register()
        await offer_commands(live)

    async def _register(self) -> None:
        wish: dict[str, Any] = {
            "url": self.hook.url,
            "secret_token": self.hook.secret,
            "allowed_updates": list(ALLOWED_UPDATES),
            "max_connections": 1,  # in the order in which they were written
            "drop_pending_updates": False,
        }
        await self.live.polling.call("setWebhook", wish)
        self._set = True
        self.live.well(self.clock.now())

    async def _look_after(self) -> None:
        """Ask whether the platform still rings here, and what went wrong when it did."""
        live = self.live
        told = await live.polling.call("getWebhookInfo", {})
        info = told if isinstance(told, Mapping) else {}
        if info.get("url") != self.hook.url:
            whose = "nobody" if not info.get("url") else "another address"
            log.warning("the webhook was taken", extra={"account": live.account.id, "by": whose})
            await self._register()
            live.last_error = f"{FaultClass.CONFLICT}: the webhook led to {whose}; it is set again"
            return
        live.well(self.clock.now())
        failed_at = whole(info.get("last_error_date")) or 0
        if failed_at > self._told_at:
            self._told_at = failed_at
            words = str(info.get("last_error_message") or "no reason given")[:200]
            live.last_error = f"{FaultClass.OFFLINE}: the platform could not ring here: {words}"
        elif self._told_at and not info.get("pending_update_count"):
            live.last_error = None

    async def _taken(self, update: object) -> None:
        """Admit one update; raises if it is not durable."""
        live, now = self.live, self.clock.now()
        async with self._one_by_one:
            me = live.me or nobody(live.account)
            message = parse_update(update, live.account.id, me, now)
            if message is not None:
                # No place in a stream of polls: what failed comes again out of its order.
                await self.admit(replace(message, cursor=None))
                live.last_inbound_at = self.clock.now()
            if (change := migration(update)) is not None:
                await self.moved(*change)
            live.alive_at = self.clock.now()

    async def _trouble(self, fault: Fault) -> None:
        """Show what is wrong and wait; a refused token ends the account instead."""
        live, pause = self.live, after(fault, self._streak)
        live.last_error = f"{fault.fault}: {fault.code} {fault.detail}".strip()
        extra = {"account": live.account.id, "fault": str(fault.fault), "detail": fault.detail}
        log.warning("telegram webhook failed", extra=extra)
        self._streak = pause.streak
        if pause.wait is None:
            live.show(pause.runtime)
            return
        live.retry_at = self.clock.now() + pause.wait
        live.show(pause.runtime)
        await self.clock.sleep_until(live.retry_at)
