"""The Telegram channel: a poll or a webhook per account, and sends (channels.md §9).

An account that fails stops neither the others nor the gateway. Waits go through the clock;
retries of sends, pacing and policy are not here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from engine.clock import Clock
from engine.events import Bus
from engine.messages.address import Route
from engine.messages.media import Media
from engine.shelf import NotSaved
from gateway.channels.base import (
    AccountStatus,
    Admit,
    Attempt,
    Carriage,
    ChannelError,
    Fault,
    FaultClass,
    LoadCursor,
    Move,
    Remark,
    SaveCursor,
    Sent,
)
from gateway.channels.fetching import too_large
from gateway.channels.flights import Flights
from gateway.channels.pace import Scope
from gateway.channels.telegram.account import (
    TelegramAccount,
    scopes,
    send_parameters,
    typing_parameters,
)
from gateway.channels.telegram.api import BotApi
from gateway.channels.telegram.door import Asgi, Doors, Listen, Port
from gateway.channels.telegram.hook import Hook
from gateway.channels.telegram.live import Live, client
from gateway.channels.telegram.media import CARRIAGE, captioned, method_of, of_file
from gateway.channels.telegram.patience import Streak, after
from gateway.channels.telegram.poll import POLL_SECONDS, Poll
from gateway.channels.telegram.probe import probed
from gateway.channels.telegram.token_lock import TokenLock
from gateway.channels.text import telegram_html, utf16_units
from jobs.errors import UsageError
from jobs.wallclock import ms

log = logging.getLogger(__name__)

CHUNK: Final = 4000
LONGEST: Final = 4096
_WAITING: Final = frozenset({"backoff", "conflict", "stalled"})
_PRIVATE: Final = (
    "privacy mode is on: of groups with requireMention false only mentions are heard "
    "(switch it off with /setprivacy at @BotFather)"
)
_CLAIMED: Final = "another gateway on this machine polls this bot"


async def _nowhere(channel: str, account: str) -> str | None:  # noqa: ARG001 - nothing is kept
    return None


async def _unkept(channel: str, account: str, *told: object) -> None:
    """Nothing is kept."""


async def no_ports(app: Asgi, host: str, port: int) -> Port:  # noqa: ARG001 - there is none
    """Nothing can be opened."""
    raise UsageError(
        "this channel was made without ports to listen at", fix="hand it `listen` when it is made"
    )


class TelegramChannel:
    """Keeps the promises of `gateway.channels.base.Channel` for every configured bot."""

    id = "telegram"

    def __init__(
        self,
        accounts: Sequence[TelegramAccount],
        *,
        clock: Clock,
        bus: Bus,
        load_cursor: LoadCursor = _nowhere,
        save_cursor: SaveCursor = _unkept,
        remark: Remark = _unkept,
        move: Move = _unkept,
        listen: Listen = no_ports,
        locks: Path | None = None,  # where the gateways of this machine meet
        poll_seconds: int = POLL_SECONDS,
    ) -> None:
        self._accounts = tuple(accounts)
        self._clock = clock
        self._bus = bus
        self._load_cursor = load_cursor
        self._save_cursor = save_cursor
        self._remark = remark
        self._move = move
        self._doors = Doors(listen)
        self._locks = locks
        self._poll_seconds = poll_seconds
        self._live: dict[str, Live] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._admit: Admit | None = None
        self._flights = Flights()

    async def start(self, admit: Admit) -> None:
        """Connect every enabled account; return at once, connecting goes on behind."""
        for account in self._accounts:
            if account.enabled and account.token:
                tell = partial(self._tell, account.id)
                live = Live(account, tell, client(account), client(account))
                self._live[account.id] = live
                self._begin(live, admit)

    def _begin(self, live: Live, admit: Admit) -> None:
        self._admit = admit
        live.show("starting")
        ident = live.account.id
        self._tasks[ident] = asyncio.create_task(self._serve(live, admit), name=f"telegram-{ident}")

    async def restart(self, account_id: str) -> None:
        """Leave the connection of one account and make a new one; what it sends goes on."""
        live = self._live.get(account_id)
        if live is None or self._admit is None:
            return
        await self._left(live)
        live.polling, live.me = client(live.account), None
        self._begin(live, self._admit)

    async def leave(self, account_id: str) -> None:
        """Close the connection of one account; what it should send waits until a restart."""
        if (live := self._live.get(account_id)) is not None:
            await self._left(live)
            live.show("stopped")

    async def _left(self, live: Live) -> None:
        task = self._tasks.pop(live.account.id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await live.polling.close()

    def _tell(self, account_id: str, runtime: str) -> None:
        told = {"channel": self.id, "accountId": account_id, "runtime": runtime}
        self._bus.publish("channel", told)

    async def stop(self) -> None:
        """End the polls, let a send that is on its way hear its answer, close every connection."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        await self._doors.close()
        await self._flights.land()
        for live in self._live.values():
            await live.sending.close()
            await live.polling.close()
            live.runtime = "stopped"

    def measure(self, text: str) -> int:
        """UTF-16 units."""
        return utf16_units(text)

    def limit(self, account_id: str) -> int:
        """A little less than the platform takes after its parsing, or what the account says."""
        account = next((one for one in self._accounts if one.id == account_id), None)
        return min(CHUNK if account is None or account.chunk is None else account.chunk, LONGEST)

    def carries(self, route: Route) -> Carriage:  # noqa: ARG002 - the same for all
        """Photos of 10 MB, files of 50, captions of 1024."""
        return CARRIAGE

    def scopes(self, route: Route) -> tuple[Scope, ...]:
        """30 a second in all; a direct chat 1 a second, a group 20 a minute."""
        return scopes(route)

    def ready(self, account_id: str) -> bool:
        """Whether the account was started and its token has not been refused."""
        live = self._live.get(account_id)
        return live is not None and live.runtime not in ("stopped", "auth-failed", "fatal")

    def rules(self, route: Route) -> None:
        """No difference between answers and the rest."""

    def idempotent(self, attempt: Attempt) -> bool:  # noqa: ARG002 - same for every route
        """Never: the platform has no key that would make a repeat harmless."""
        return False

    async def send(self, attempt: Attempt) -> Sent:
        """Send one part: with `sendMessage`, or with the method of the file it carries."""
        live = self._live.get(attempt.route.account_id)
        if live is None:
            raise ChannelError(Fault(fault=FaultClass.OFFLINE, detail="the account is not started"))
        html = None if attempt.plain else telegram_html(attempt.text)
        parameters = send_parameters(attempt.route, html, attempt.text, silent=attempt.silent)
        leaving = (
            live.sending.call("sendMessage", parameters)
            if attempt.media is None
            else _with_file(live.sending, parameters, attempt.media)
        )
        try:
            result = await self._flights.fly(leaving, f"telegram-send-{live.account.id}")
        except ChannelError as error:
            live.last_error = str(error)
            live.told_later(attempt.route.to, error.fault, self._clock.monotonic())
            if error.fault.fault is FaultClass.AUTH:
                live.show("auth-failed")
            if error.fault.migrate_to:
                self._hint(live, attempt.route.to, error.fault.migrate_to)
            raise
        live.last_outbound_at = self._clock.now()
        if not isinstance(result, Mapping) or "message_id" not in result:
            detail = "the answer has no message id"
            raise ChannelError(Fault(fault=FaultClass.NETWORK_AMBIGUOUS, detail=detail))
        return Sent(message_id=str(result["message_id"]))

    async def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        """Ask where it lies, and fetch it from the platform's own server."""
        live = self._live.get(account_id)
        if live is None or media.ref is None:
            raise NotSaved("the account is not started")
        most = live.account.media_most
        if media.size is not None and media.size > most:
            raise NotSaved(too_large(media.size, most))
        async with aclosing(live.sending.file(media.ref, most)) as pieces:
            async for piece in pieces:
                yield piece

    async def typing(self, route: Route) -> None:
        """Show `typing` for five seconds, unless the platform wants the chat left alone."""
        live, now = self._live.get(route.account_id), self._clock.monotonic()
        if live is None or not self.ready(route.account_id) or live.later.get(route.to, now) > now:
            return
        try:
            await live.sending.call("sendChatAction", typing_parameters(route))
        except ChannelError as error:
            live.told_later(route.to, error.fault, now)
            raise

    def status(self) -> tuple[AccountStatus, ...]:
        """Every account, configured order."""
        return tuple(self._status(account) for account in self._accounts)

    def _status(self, account: TelegramAccount) -> AccountStatus:
        live = self._live.get(account.id)
        extra: dict[str, Any] = {} if account.name is None else {"name": account.name}
        if live is not None and live.me is not None:
            extra["username"] = live.me.username
        if "*" in account.allow_from:
            extra["allow"] = "*"
        extra |= {} if live is None else _more(live)
        return AccountStatus(
            account_id=account.id,
            configured=bool(account.token),
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
        """Ask `getMe` and `getWebhookInfo`: ``{ok, detail, ...}``. Works before `start` too."""
        account = next((each for each in self._accounts if each.id == account_id), None)
        if account is None or not account.token:
            return {"ok": False, "detail": f"account {account_id!r} is not configured"}
        return await probed(account)

    # -- the connection --------------------------------------------------------------------

    async def _serve(self, live: Live, admit: Admit) -> None:
        """Own the bot, then hear its updates, by poll or by webhook."""
        lock = None if self._locks is None else TokenLock(self._locks, live.account)
        try:
            await self._claim(live, lock)
            await self._connection(live, admit)
        finally:
            if lock is not None:
                lock.release()

    async def _claim(self, live: Live, lock: TokenLock | None) -> None:
        """Wait until nobody else on this machine hears this bot (§9)."""
        streak = Streak()
        while lock is not None and (holder := lock.taken_by()):
            fault = Fault(fault=FaultClass.CONFLICT, code="lock", detail=f"{_CLAIMED} ({holder})")
            pause = after(fault, streak)
            streak = pause.streak
            live.last_error = f"{fault.fault}: {fault.detail}"
            live.retry_at = self._clock.now() + (pause.wait or timedelta())
            live.show(pause.runtime)
            await self._clock.sleep_until(live.retry_at)

    async def _connection(self, live: Live, admit: Admit) -> None:
        moved = partial(self._moved, live)
        if live.account.webhook is None:
            await Poll(
                live=live,
                admit=admit,
                clock=self._clock,
                load=self._load_cursor,
                save=self._save_cursor,
                remark=self._remark,
                moved=moved,
                poll_seconds=self._poll_seconds,
            ).serve()
            return
        hook = Hook(
            live=live,
            hook=live.account.webhook,
            admit=admit,
            clock=self._clock,
            doors=self._doors,
            moved=moved,
        )
        try:
            await hook.serve()
        finally:
            await hook.goodbye()

    async def _moved(self, live: Live, old: str, new: str) -> None:
        """A group has a new id: routes follow by themselves, the config has to be told (§9)."""
        ident = live.account.id
        await self._move(self.id, ident, old, new)
        self._hint(live, old, new)
        await self._remark(self.id, ident, "channel.migrated", {"from": old, "to": new})

    def _hint(self, live: Live, old: str, new: str) -> None:
        words = f"the group {old} has the id {new} now"
        if old in live.account.groups:
            words += ": rename it under channels.telegram groups, or nobody there is heard"
            live.note = words
        log.warning("a group has a new id", extra={"account": live.account.id, "because": words})


async def _with_file(api: BotApi, parameters: Mapping[str, Any], media: Media) -> Any:
    method = method_of(media)
    try:
        return await api.upload(method.name, captioned(parameters), method.field, media)
    except ChannelError as error:
        raise ChannelError(of_file(error.fault)) from None


def _more(live: Live) -> dict[str, Any]:
    """What else there is to know about an account at work."""
    webhook, reads_all = live.account.webhook, live.me is None or live.me.reads_all
    blind = _PRIVATE if live.account.hears_all and not reads_all else None
    found = {
        "mode": "webhook" if webhook is not None else "poll",
        "webhookPort": live.port,
        "retryAt": ms(live.retry_at) if live.runtime in _WAITING else None,
        "note": live.note or blind,
    }
    return {name: value for name, value in found.items() if value is not None}
