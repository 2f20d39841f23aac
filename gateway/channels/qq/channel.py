"""The QQ channel: a gateway connection per account, and sends (channels.md §8).

An account that fails stops neither the others nor the gateway. What a frame means is in
`session.py`, what follows an end in `closes.py`; here is who waits for whom.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from engine.clock import Clock
from engine.events import Bus
from engine.messages.address import Route
from engine.messages.fault import Fault, FaultClass
from engine.messages.media import Media
from engine.shelf import NotSaved
from gateway.channels.base import (
    AccountStatus,
    Admit,
    Attempt,
    Carriage,
    ChannelError,
    LoadCursor,
    SaveCursor,
    Sent,
)
from gateway.channels.fetching import Source, pieces, same_server, too_large
from gateway.channels.flights import Flights
from gateway.channels.foreign import ident
from gateway.channels.pace import Scope
from gateway.channels.qq import requests
from gateway.channels.qq.account import QqAccount, rules, scopes
from gateway.channels.qq.api import QqApi
from gateway.channels.qq.closes import Ended, How, Next, Streak, after
from gateway.channels.qq.faults import PENDING_AUDIT, code_of
from gateway.channels.qq.link import Link
from gateway.channels.qq.media import carriage, of_message
from gateway.channels.qq.session import Place, Session, place_of
from gateway.channels.text import code_points
from gateway.channels.ups import Ups
from gateway.channels.windows import ReplyRules
from jobs.errors import EngineError
from jobs.wallclock import ms

log = logging.getLogger(__name__)

CHUNK: Final = 2000
LONGEST: Final = 4000  # code points; beyond it the platform refuses (40054007)
PLAIN_FOR: Final = timedelta(hours=24)  # after markdown was refused (channels.md §6)
_OVER: Final = frozenset({"auth-failed", "fatal"})


async def _nowhere(channel: str, account: str) -> str | None:  # noqa: ARG001 - nothing is kept
    return None


async def _unkept(channel: str, account: str, value: str) -> None:
    """Nothing is kept."""


@dataclass(slots=True, eq=False)
class _Live:
    """One account at work. Owned by its channel."""

    account: QqAccount
    api: QqApi
    session: Session
    streak: Streak = field(default_factory=Streak)
    runtime: str = "stopped"
    me: str = ""
    username: str = ""
    last_error: str | None = None
    last_inbound_at: datetime | None = None
    last_outbound_at: datetime | None = None
    alive_at: datetime | None = None  # the platform sent something, if only an ack
    restored: bool = False  # where an earlier process left the stream was looked up
    plain_until: datetime | None = None
    retry_at: datetime | None = None  # while it waits to connect again
    ups: Ups = field(default_factory=Ups)


class QqChannel:
    """Keeps the promises of `gateway.channels.base.Channel` for every configured bot."""

    id = "qqbot"

    def __init__(
        self,
        accounts: Sequence[QqAccount],
        *,
        clock: Clock,
        bus: Bus,
        load_cursor: LoadCursor = _nowhere,
        save_cursor: SaveCursor = _unkept,
    ) -> None:
        self._accounts = {account.id: account for account in accounts}
        self._clock = clock
        self._bus = bus
        self._load_cursor = load_cursor
        self._save_cursor = save_cursor
        self._live: dict[str, _Live] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._admit: Admit | None = None
        self._flights = Flights()
        self._words: set[asyncio.Task[None]] = set()

    async def start(self, admit: Admit) -> None:
        """Connect every enabled account; return at once, connecting goes on behind."""
        for account in self._accounts.values():
            if account.enabled and account.configured:
                api = QqApi(account, self._clock.monotonic)
                live = _Live(account, api, Session(int(account.intents)))
                self._live[account.id] = live
                self._begin(live, admit)

    def _begin(self, live: _Live, admit: Admit) -> None:
        self._admit = admit
        self._show(live, "starting")
        ident = live.account.id
        self._tasks[ident] = asyncio.create_task(self._serve(live, admit), name=f"qq-{ident}")

    async def restart(self, account_id: str) -> None:
        """Leave the connection of one account and make a new one, which resumes the session."""
        live = self._live.get(account_id)
        if live is None or self._admit is None:
            return
        await self._left(live)
        self._begin(live, self._admit)

    async def leave(self, account_id: str) -> None:
        """Close the connection of one account; what it should send waits until a restart."""
        if (live := self._live.get(account_id)) is not None:
            await self._left(live)
            self._show(live, "stopped")

    async def _left(self, live: _Live) -> None:
        task = self._tasks.pop(live.account.id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def stop(self) -> None:
        """Leave every connection so that its session can be resumed; hear the last answers."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        await self._flights.land()
        for live in self._live.values():
            await live.api.close()
            live.runtime = "stopped"

    def measure(self, text: str) -> int:
        """Code points."""
        return code_points(text)

    def limit(self, account_id: str) -> int:
        """Half of what the platform takes, unless the account says otherwise."""
        account = self._accounts.get(account_id)
        return CHUNK if account is None or account.chunk is None else min(account.chunk, LONGEST)

    def carries(self, route: Route) -> Carriage:
        """Files of 20 MB to people and groups; a caption is a message's text."""
        return carriage(route.to, self.limit(route.account_id))

    def scopes(self, route: Route) -> tuple[Scope, ...]:
        """The interface's limits, and a guild channel's own."""
        return scopes(route)

    def rules(self, route: Route) -> ReplyRules | None:
        """Answers within a window; what nobody asked for within quotas."""
        account = self._accounts.get(route.account_id)
        return None if account is None else rules(account, route)

    def ready(self, account_id: str) -> bool:
        """Whether the account was started and is not given up."""
        live = self._live.get(account_id)
        return live is not None and live.runtime not in ("stopped", *_OVER)

    def idempotent(self, attempt: Attempt) -> bool:
        """An answer is: the platform takes each (message, number) at most once."""
        return attempt.reply is not None and attempt.route.to.startswith(("c2c:", "group:"))

    async def send(self, attempt: Attempt) -> Sent:
        """Send one part: one request, and one more if the token had to be replaced.

        A file is uploaded first, which nobody sees.
        """
        live = self._live.get(attempt.route.account_id)
        if live is None:
            raise ChannelError(Fault(fault=FaultClass.OFFLINE, detail="the account is not started"))
        markdown = self._markdown(live, attempt)
        path, body = requests.message(
            attempt.route.to,
            attempt.text,
            reply=attempt.reply,
            markdown=markdown,
            recall=attempt.recall,
        )
        leaving = (
            live.api.call("POST", path, body)
            if attempt.media is None
            else _with_file(live.api, attempt.route.to, attempt.media, path, body)
        )
        try:
            sent = _sent(await self._flights.fly(leaving, f"qq-send-{live.account.id}"))
        except ChannelError as error:
            self._refused(live, error, markdown=markdown)
            raise
        live.last_outbound_at = self._clock.now()
        return sent

    def _markdown(self, live: _Live, attempt: Attempt) -> bool:
        refused = live.plain_until is not None and self._clock.now() < live.plain_until
        wanted = live.account.markdown and attempt.media is None
        return wanted and not attempt.plain and not refused

    def _refused(self, live: _Live, error: ChannelError, *, markdown: bool) -> None:
        live.last_error = str(error)
        if error.fault.fault is FaultClass.AUTH:
            self._show(live, "auth-failed")
        if error.fault.fault is FaultClass.FORMAT and markdown:
            live.plain_until = self._clock.now() + PLAIN_FOR

    async def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        """Fetch it from where the platform says; that may be anywhere, so it is judged."""
        account = self._accounts.get(account_id)
        if account is None or media.url is None:
            raise NotSaved("the platform gave no address")
        most = account.media_most
        if media.size is not None and media.size > most:
            raise NotSaved(too_large(media.size, most))
        source = Source(media.url, own=same_server(media.url, account.api_base))
        async with aclosing(pieces(source, most)) as found:
            async for piece in found:
                yield piece

    async def typing(self, route: Route) -> None:
        """The platform has none for bots."""

    def status(self) -> tuple[AccountStatus, ...]:
        """Every account, configured order."""
        return tuple(self._status(account) for account in self._accounts.values())

    def _status(self, account: QqAccount) -> AccountStatus:
        live = self._live.get(account.id)
        extra: dict[str, Any] = {} if account.name is None else {"name": account.name}
        if live is not None:
            left = live.api.tokens.left
            extra |= {} if left is None else {"tokenExpiresInMs": int(left.total_seconds() * 1000)}
            resumable = live.session.session_id is not None and live.runtime not in _OVER
            extra |= {"resumable": resumable}
            extra |= {"username": live.username} if live.username else {}
            extra |= {"retryAt": ms(live.retry_at)} if live.runtime == "backoff" else {}
        if "*" in account.allow_from:
            extra["allow"] = "*"
        return AccountStatus(
            account_id=account.id,
            configured=account.configured,
            enabled=account.enabled,
            runtime=live.ups.shown(live.runtime, self._clock.now()) if live else "stopped",
            token_source=account.token_source,
            last_error=live.last_error if live else None,
            last_inbound_at=live.last_inbound_at if live else None,
            last_outbound_at=live.last_outbound_at if live else None,
            alive_at=live.alive_at if live else None,
            extra=extra,
        )

    async def probe(self, account_id: str) -> Mapping[str, Any]:
        """Ask for a token and for the bot itself, and look at the connection."""
        account = self._accounts.get(account_id)
        if account is None or not account.configured:
            return {"ok": False, "detail": f"account {account_id!r} is not configured"}
        api = QqApi(account, self._clock.monotonic)
        try:
            me = await api.call("GET", "/users/@me")
        except ChannelError as error:
            return error.probed()
        finally:
            await api.close()
        live = self._live.get(account_id)
        if live is not None and live.runtime != "connected":
            detail = f"the credentials work, the connection is {live.runtime}: {live.last_error}"
            return {"ok": False, "detail": detail}
        return {"ok": True, "detail": "works", "username": str(me.get("username") or "")}

    # -- the connection --------------------------------------------------------------------

    async def _serve(self, live: _Live, admit: Admit) -> None:
        """Stay connected. Only what no waiting mends ends it."""
        link = Link(
            account=live.account,
            api=live.api,
            session=live.session,
            clock=self._clock,
            admit=admit,
            told=lambda ready: self._connected(live, ready),
            heard=lambda: self._heard(live),
            alive=lambda: self._alive(live),
            keep=lambda: self._keep(live),
            say=lambda path, body: self._say(live, path, body),
        )
        while live.runtime not in _OVER:
            self._show(live, "connecting")
            try:
                await self._restore(live)
                ended = await link.run()
            except ChannelError as error:
                if error.fault.fault is FaultClass.AUTH:
                    live.last_error = str(error)
                    self._show(live, "auth-failed")
                    return
                ended = Ended(reason=str(error))
            except EngineError as error:  # what was not kept comes again
                ended = Ended(reason=str(error))
            except Exception:  # the seam of one connection; the event comes again
                log.exception("an event was not admitted", extra={"account": live.account.id})
                ended = Ended(reason="an event was not admitted")
            await self._follow(live, ended, after(ended, live.streak))

    async def _follow(self, live: _Live, ended: Ended, then: Next) -> None:
        """Do what follows an end: forget what must be forgotten, show it, wait."""
        live.streak = then.streak
        log.info(
            "a connection ended",
            extra={"account": live.account.id, "code": ended.code, "because": then.because},
        )
        if not ended.asked_to_reconnect:
            live.last_error = then.because
        if then.how is How.NEVER:
            fatal = "auth-failed" if then.streak.refused_tokens else "fatal"
            self._show(live, fatal)
            return
        if then.how is How.IDENTIFY:
            live.session.forget()
        if then.new_token:
            live.api.tokens.forget()
        if then.wait:
            live.retry_at = self._clock.now() + then.wait
            self._show(live, "backoff")
            await self._clock.sleep_until(live.retry_at)

    async def _restore(self, live: _Live) -> None:
        """Go on where an earlier process left the stream, if the platform may still know it."""
        if live.restored:
            return
        place = place_of(await self._load_cursor(self.id, live.account.id))
        live.restored = True
        if place is not None and place.fresh(self._clock.now()):
            live.session.session_id, live.session.seq = place.session_id, place.seq

    async def _keep(self, live: _Live) -> None:
        if live.session.session_id is not None:
            place = Place(live.session.session_id, live.session.seq, self._clock.now())
            await self._save_cursor(self.id, live.account.id, place.text())

    def _alive(self, live: _Live) -> None:
        live.alive_at = self._clock.now()

    def _say(self, live: _Live, path: str, body: Mapping[str, Any]) -> None:
        """Tell the platform something that nobody waits for; a stop hears its answer."""
        task = asyncio.create_task(self._said(live, path, body), name=f"qq-say-{live.account.id}")
        self._words.add(task)
        task.add_done_callback(self._words.discard)

    async def _said(self, live: _Live, path: str, body: Mapping[str, Any]) -> None:
        try:
            await self._flights.fly(live.api.call("PUT", path, body), f"qq-say-{live.account.id}")
        except ChannelError as error:  # the press is admitted all the same
            log.info("a press was not confirmed", extra={"detail": str(error)})

    def _heard(self, live: _Live) -> None:
        live.last_inbound_at = self._clock.now()

    def _connected(self, live: _Live, me: Mapping[str, Any]) -> None:
        live.username = str(me.get("username") or live.username)
        live.me = ident(me.get("id")) or live.me
        live.last_error = None
        if live.runtime != "connected":
            live.ups.add(self._clock.now())
        self._show(live, "connected")

    def _show(self, live: _Live, runtime: str) -> None:
        if live.runtime == runtime:
            return
        live.runtime = runtime
        self._bus.publish(
            "channel", {"channel": self.id, "accountId": live.account.id, "runtime": runtime}
        )


async def _with_file(
    api: QqApi, to: str, media: Media, path: str, body: Mapping[str, Any]
) -> Mapping[str, Any]:
    file = await api.upload(to, media)
    try:
        return await api.call("POST", path, requests.with_file(body, file))
    except ChannelError as error:
        raise ChannelError(of_message(error.fault)) from None


def _sent(answer: Mapping[str, Any]) -> Sent:
    """What the platform answered; an answer without an id tells nothing."""
    if code_of(answer) in PENDING_AUDIT:
        data = answer.get("data")
        audit = data.get("message_audit") if isinstance(data, Mapping) else None
        number = ident(audit.get("audit_id")) if isinstance(audit, Mapping) else None
        return Sent(message_id=f"audit:{number or 'unnamed'}", accepted=True, pending_audit=True)
    if (message_id := ident(answer.get("id"))) is None:
        detail = "the answer has no message id"
        raise ChannelError(Fault(fault=FaultClass.NETWORK_AMBIGUOUS, detail=detail))
    return Sent(message_id=message_id)
