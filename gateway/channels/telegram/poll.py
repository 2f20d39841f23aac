"""The long poll of one Telegram account: asked again and again, watched by our own clock (§9).

A client may wait for ever and call it patience, so what counts is when a poll was last
completed; after ``stalled_after`` without one the connection is made anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from engine.clock import Clock
from engine.messages.fault import Fault, FaultClass
from gateway.channels.base import Admit, ChannelError, LoadCursor, Remark, SaveCursor
from gateway.channels.telegram.account import ALLOWED_UPDATES, migration, parse_update, update_id
from gateway.channels.telegram.attached import albums, open_album
from gateway.channels.telegram.greeting import introduced, nobody, offer_commands, take_over
from gateway.channels.telegram.live import Live, client
from gateway.channels.telegram.patience import Streak, after
from jobs.errors import EngineError

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 30
POLL_LIMIT: Final = 100
KEPT_FOR: Final = timedelta(hours=24)  # how long the platform keeps what nobody fetches
NOTED_EVERY: Final = timedelta(minutes=5)
POLLED: Final = "telegram/polled"  # where the time of the last poll is kept, beside the cursors
ALBUM_PAUSE: Final = timedelta(milliseconds=500)  # within which the rest of an album comes
_FLOOR: Final = timedelta(milliseconds=200)
_HIGHEST_FLOOR: Final = timedelta(seconds=2)
_STALLED: Final = "stalled"


@dataclass(slots=True, eq=False, kw_only=True)
class Poll:
    """The poll of one account."""

    live: Live
    admit: Admit
    clock: Clock
    load: LoadCursor
    save: SaveCursor
    remark: Remark
    moved: Callable[[str, str], Awaitable[None]]  # a chat has a new id
    poll_seconds: int = POLL_SECONDS
    _offset: int | None = None
    _streak: Streak = field(default_factory=Streak)
    _floor: timedelta = _FLOOR
    _polled: timedelta = timedelta()  # when a poll was last completed, on monotonic time
    _noted: timedelta | None = None

    async def serve(self) -> None:
        """Poll for ever. Only a refused token ends it."""
        self._polled = self.clock.monotonic()
        while not self.live.over:
            try:
                if self.live.me is None:
                    await self._hello()
                await self._poll()
            except ChannelError as error:
                await self._trouble(error.fault)
            except Exception:  # the seam of one connection; the update comes again
                log.exception("an update was not admitted", extra={"account": self._account})
                await self._trouble(Fault(fault=FaultClass.SERVER, detail="not admitted"))

    @property
    def _account(self) -> str:
        return self.live.account.id

    async def _hello(self) -> None:
        """Learn who we are, and take the poll over from a webhook that is still set."""
        live = self.live
        live.show("connecting")
        stored = await self.load("telegram", self._account)
        self._offset = int(stored) if stored and stored.isdecimal() else None
        me = await introduced(live)
        await take_over(live)
        await offer_commands(live)
        await self._tell_gap()
        live.me = me

    async def _tell_gap(self) -> None:
        """The platform keeps a day: what was written before that is lost, and that is said."""
        stored, now = await self.load(POLLED, self._account), self.clock.now()
        try:
            last = datetime.fromisoformat(stored or "")
        except ValueError:
            return
        if now - last <= KEPT_FOR:
            return
        self.live.note = (
            f"not polled from {last:%Y-%m-%d %H:%M} UTC for more than 24 h: messages of that "
            "time may be lost"
        )
        log.warning("messages may be lost", extra={"account": self._account, "since": stored})
        told = {"since": stored, "because": "the platform keeps updates for 24 h"}
        await self.remark("telegram", self._account, "channel.gap", told)
        await self._note()

    async def _poll(self) -> None:
        live = self.live
        # The first one is not held: whether it works is known at once, not after half a minute.
        held = self.poll_seconds if live.runtime == "connected" else 0
        parameters: dict[str, Any] = {
            "timeout": held,
            "limit": POLL_LIMIT,
            "allowed_updates": list(ALLOWED_UPDATES),
        }
        if self._offset is not None:
            parameters["offset"] = self._offset
        began, before = self.clock.monotonic(), self._offset
        updates = await self._watched(parameters)
        self._polled, self._streak = self.clock.monotonic(), Streak()
        live.well(self.clock.now())
        for update in await self._whole_albums(parameters, updates):
            await self._take(update)
        if self._noted is None or self._polled - self._noted >= NOTED_EVERY:
            await self._note()
        if self._offset == before:
            await self._do_not_spin(self._polled - began, held)
        else:
            self._floor = _FLOOR

    async def _whole_albums(self, parameters: dict[str, Any], updates: object) -> list[object]:
        """Return updates with each album as one; the last may not be all there yet.

        Nothing was confirmed, so asking again brings the same and what came since.
        """
        found = updates if isinstance(updates, list) else []
        if open_album(found):
            await self.clock.sleep_until(self.clock.now() + ALBUM_PAUSE)
            again = await self._watched({**parameters, "timeout": 0})
            found = again if isinstance(again, list) and len(again) >= len(found) else found
        return albums(found)

    async def _watched(self, parameters: dict[str, Any]) -> Any:
        """Ask once; whoever does not answer within the time of a stall is not waited for."""
        now = self.clock.monotonic()
        until = max(self._polled + self.live.account.stalled_after, now + self._least)
        asked = asyncio.create_task(
            self.live.polling.call("getUpdates", parameters, wait=self.poll_seconds),
            name=f"telegram-updates-{self._account}",
        )
        try:
            while not asked.done() and self.clock.monotonic() < until:
                await self._until(asked, until)  # a wall clock that is set forward ends no poll
            if asked.done():
                return asked.result()
            detail = f"no poll was completed for {self.live.account.stalled_after.seconds} s"
            raise ChannelError(Fault(fault=FaultClass.SERVER, code=_STALLED, detail=detail))
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def _until(self, asked: asyncio.Task[Any], until: timedelta) -> None:
        """Wait for an answer, or until the time of a stall has come."""
        end = self.clock.now() + (until - self.clock.monotonic())
        patience = asyncio.create_task(
            self.clock.sleep_until(end), name=f"telegram-watch-{self._account}"
        )
        try:
            await asyncio.wait({asked, patience}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()
            await asyncio.gather(patience, return_exceptions=True)

    @property
    def _least(self) -> timedelta:
        """After failures the next poll still gets the time of one."""
        return timedelta(seconds=self.poll_seconds + 25)

    async def _take(self, update: object) -> None:
        """Admit one update; the offset moves only once that is durable."""
        number, now, me = update_id(update), self.clock.now(), self.live.me
        if number is None:
            log.warning("an update has no number", extra={"account": self._account})
            return
        message = parse_update(update, self._account, me or nobody(self.live.account), now)
        if message is not None:
            await self.admit(message)
            self.live.last_inbound_at = self.clock.now()
        if (change := migration(update)) is not None:
            await self.moved(*change)
        self._offset = number + 1

    async def _note(self) -> None:
        """Remember that we are here: the next start can tell how long nobody polled."""
        self._noted = self.clock.monotonic()
        try:
            await self.save(POLLED, self._account, self.clock.now().isoformat(timespec="seconds"))
        except EngineError as error:  # the poll itself is well
            log.warning("the time of a poll was not kept", extra={"because": str(error)})

    async def _do_not_spin(self, took: timedelta, held: int) -> None:
        """An answer long before its time that brings nothing new must not make a busy loop."""
        if took >= timedelta(seconds=held) * 0.9:
            self._floor = _FLOOR
            return
        await self.clock.sleep_until(self.clock.now() + self._floor)
        self._floor = min(self._floor * 2, _HIGHEST_FLOOR)

    async def _trouble(self, fault: Fault) -> None:
        """Show what is wrong and wait; a refused token ends the account instead."""
        live, pause = self.live, after(fault, self._streak)
        live.last_error = f"{fault.fault}: {fault.code} {fault.detail}".strip()
        log.warning(
            "telegram poll failed",
            extra={"account": self._account, "fault": str(fault.fault), "detail": fault.detail},
        )
        self._streak = pause.streak
        stalled = self.clock.monotonic() - self._polled >= live.account.stalled_after
        if stalled and pause.wait is not None:
            await self._rebuild()
        if pause.wait is not None:
            live.retry_at = self.clock.now() + pause.wait
        live.show(_STALLED if stalled and pause.runtime == "backoff" else pause.runtime)
        if live.retry_at is not None and pause.wait is not None:
            await self.clock.sleep_until(live.retry_at)

    async def _rebuild(self) -> None:
        """A client that has not finished a poll for so long is not trusted any more."""
        await self.live.polling.close()
        self.live.polling = client(self.live.account)
        self._polled = self.clock.monotonic()
