"""One WebSocket connection to QQ's gateway, from its address to its end. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from engine.clock import Clock
from gateway.channels.base import Admit
from gateway.channels.foreign import ident
from gateway.channels.qq.account import QqAccount
from gateway.channels.qq.api import QqApi
from gateway.channels.qq.closes import Ended
from gateway.channels.qq.events import parse
from gateway.channels.qq.interactions import PRESSED, heard
from gateway.channels.qq.session import Beat, Happened, Hello, Leave, Place, Ready, Session
from jobs.errors import EngineError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

log = logging.getLogger(__name__)

OPENING: Final = 15.0  # seconds for a connection, and for its hello
CLOSING: Final = 2.0
COME_BACK: Final = 4000  # our own close code: 1000 would end the session for the platform
LONGEST_FRAME: Final = 4 * 1024 * 1024
KEPT_EVERY: Final = timedelta(minutes=2)  # how often an idle session is noted as alive


@dataclass(slots=True, eq=False, kw_only=True)
class Link:
    """The connections of one account, one at a time."""

    account: QqAccount
    api: QqApi
    session: Session
    clock: Clock
    admit: Admit
    told: Callable[[Mapping[str, Any]], None]  # connected; the bot itself, if it was named
    heard: Callable[[], None]
    alive: Callable[[], None]  # anything came, if only the ack of a heartbeat
    keep: Callable[[], Awaitable[None]]  # note where the stream stands
    say: Callable[[str, Mapping[str, Any]], None]  # (path, body): put it, and wait for nothing
    _url: str | None = None
    _me: str = ""
    _ready_at: timedelta | None = None
    _kept_at: timedelta | None = None

    async def run(self) -> Ended:
        """Connect, and return how it ended.

        Raises `ChannelError` if there is no token or no address, and whatever an admission
        raises: the event is not durable then, and comes again after a resume.
        """
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidURI

        self._ready_at = None
        self.session.opened()
        token = await self.api.tokens.get()
        url, self._url = self._url or await self.api.gateway(), None
        opening = connect(
            url,
            open_timeout=OPENING,
            close_timeout=CLOSING,
            ping_interval=None,  # the protocol has its own heartbeat
            max_size=LONGEST_FRAME,
        )
        try:
            socket = await opening
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            return Ended(reason=f"{type(error).__name__}: {error}"[:300])
        self._url = url  # it worked: no need to ask for it again
        try:
            return await self._talk(socket, f"QQBot {token}")
        finally:
            await socket.close(COME_BACK, "back soon")

    async def _talk(self, socket: ClientConnection, token: str) -> Ended:
        from websockets.exceptions import ConnectionClosed

        beats: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(OPENING):
                act = self.session.receive(await socket.recv())
            if not isinstance(act, Hello):
                return Ended(reason="the platform did not say hello")
            await socket.send(self.session.authenticate(token))
            beats = asyncio.create_task(
                self._beats(socket, act.every), name=f"qq-beats-{self.account.id}"
            )
            while True:
                if (left := await self._take(socket, await socket.recv())) is not None:
                    return self._ended(left)
        except TimeoutError:
            return Ended(reason="the platform did not say hello in time")
        except ConnectionClosed as closed:
            frame = closed.rcvd
            return self._closed(0 if frame is None else frame.code, frame.reason if frame else "")
        finally:
            if beats is not None:
                beats.cancel()
                await asyncio.gather(beats, return_exceptions=True)

    async def _take(self, socket: ClientConnection, text: str | bytes) -> Leave | None:
        """Do what a frame asks for; returns the one that ends the connection."""
        self.alive()
        match self.session.receive(text):
            case Ready(me=me):
                await self._stands(me)
            case Happened() as event:
                if self._ready_at is None:  # what was missed comes before the word for it
                    await self._stands({})
                await self._admit(event)
            case Beat():
                await socket.send(self.session.pulse())
            case Leave() as leave:
                return leave
            case _:
                pass
        return None

    async def _stands(self, me: Mapping[str, Any]) -> None:
        """The session stands; ``me`` is the bot, where it was named."""
        self._ready_at = self.clock.monotonic()
        self._me = ident(me.get("id")) or self._me
        await self._note()
        self.told(me)

    async def _admit(self, event: Happened) -> None:
        """Admit one event; the stream moves on only once that is durable."""
        now, session = self.clock.now(), self.session
        cursor = None
        if session.session_id is not None and event.seq is not None:
            cursor = Place(session.session_id, event.seq, now).text()
        message = parse(
            event.kind,
            event.data,
            event_id=event.event_id,
            account_id=self.account.id,
            me=self._me,
            now=now,
            cursor=cursor,
        )
        if message is not None:
            await self.admit(message)
            self.heard()
            self._kept_at = self.clock.monotonic()
        session.admitted(event.seq)
        if event.kind == PRESSED and (word := heard(event.data)) is not None:
            self.say(*word)

    async def _beats(self, socket: ClientConnection, every: timedelta) -> None:
        """Send heartbeats; one that was not answered ends the connection."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.clock.sleep_until(self.clock.now() + every)
                frame = self.session.heartbeat()
                if frame is None or self._ready_at is None:
                    await socket.close(COME_BACK, "no answer to the heartbeat")
                    return
                await socket.send(frame)
                kept = self._kept_at
                if kept is None or self.clock.monotonic() - kept >= KEPT_EVERY:
                    await self._note_if_it_can()

    async def _note_if_it_can(self) -> None:
        try:
            await self._note()
        except EngineError as error:  # heartbeats go on whatever becomes of the place
            log.warning(
                "the place in the stream was not kept",
                extra={"account": self.account.id, "because": str(error)},
            )

    async def _note(self) -> None:
        await self.keep()
        self._kept_at = self.clock.monotonic()

    @property
    def _lived(self) -> timedelta | None:
        return None if self._ready_at is None else self.clock.monotonic() - self._ready_at

    def _ended(self, leave: Leave) -> Ended:
        return Ended(
            reason=leave.reason,
            lived=self._lived,
            invalid_session=leave.invalid_session,
            asked_to_reconnect=leave.asked_to_reconnect,
        )

    def _closed(self, code: int, reason: str) -> Ended:
        words = reason or ("" if code else "the connection broke")
        return Ended(code=code, reason=words[:300], lived=self._lived)
