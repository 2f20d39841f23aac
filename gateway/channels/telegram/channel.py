"""The Telegram channel: a long poll per account, and sends (channels.md §9).

An account that fails stops neither the others nor the gateway. Waits go through the clock;
retries of sends, pacing and policy are not here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from engine.address import Route
from engine.clock import Clock
from engine.events import Bus
from engine.media import Media
from gateway.channels.base import (
    AccountStatus,
    Admit,
    Attempt,
    Carriage,
    ChannelError,
    Fault,
    FaultClass,
    LoadCursor,
    Sent,
)
from gateway.channels.flights import Flights
from gateway.channels.pace import Scope
from gateway.channels.telegram.account import (
    ALLOWED_UPDATES,
    Me,
    TelegramAccount,
    parse_update,
    scopes,
    send_parameters,
    typing_parameters,
    update_id,
)
from gateway.channels.telegram.api import BotApi
from gateway.channels.telegram.media import CARRIAGE, captioned, method_of, of_file
from gateway.channels.text import telegram_html, utf16_units

log = logging.getLogger(__name__)

CHUNK: Final = 4000
LONGEST: Final = 4096
POLL_SECONDS: Final = 30
POLL_LIMIT: Final = 100
STALLED_AFTER: Final = timedelta(seconds=120)
# What the platform offers to whoever types "/".
COMMANDS: Final = (
    {"command": "hb", "description": "What the last alert was worth; put it off, mute it"},
)
_BACKOFF: Final = tuple(timedelta(seconds=s) for s in (1, 2, 5, 10, 30, 60))
_CONFLICT_BACKOFF: Final = tuple(timedelta(seconds=s) for s in (5, 10, 20, 40, 60))
_FLOOR: Final = timedelta(milliseconds=200)
_HIGHEST_FLOOR: Final = timedelta(seconds=2)


@dataclass(slots=True, eq=False)
class _Live:
    """One account at work. Owned by its channel."""

    account: TelegramAccount
    sending: BotApi
    polling: BotApi
    runtime: str = "stopped"
    me: Me | None = None
    offset: int | None = None
    failures: int = 0
    conflicts: int = 0
    last_error: str | None = None
    last_inbound_at: datetime | None = None
    last_outbound_at: datetime | None = None
    last_poll: timedelta = field(default=timedelta())
    floor: timedelta = _FLOOR


class TelegramChannel:
    """Keeps the promises of `gateway.channels.base.Channel` for every configured bot."""

    id = "telegram"

    def __init__(
        self,
        accounts: Sequence[TelegramAccount],
        *,
        clock: Clock,
        bus: Bus,
        load_cursor: LoadCursor | None = None,
        poll_seconds: int = POLL_SECONDS,
    ) -> None:
        self._accounts = tuple(accounts)
        self._clock = clock
        self._bus = bus
        self._load_cursor = load_cursor
        self._poll_seconds = poll_seconds
        self._live: dict[str, _Live] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._flights = Flights()

    async def start(self, admit: Admit) -> None:
        """Connect every enabled account; return at once, connecting goes on behind."""
        for account in self._accounts:
            if account.enabled and account.token:
                live = _Live(account, *self._clients(account))
                self._live[account.id] = live
                self._show(live, "starting")
                name = f"telegram-poll-{account.id}"
                self._tasks.append(asyncio.create_task(self._serve(live, admit), name=name))

    def _clients(self, account: TelegramAccount) -> tuple[BotApi, BotApi]:
        return _client(account), _client(account)

    async def stop(self) -> None:
        """End the polls, let a send that is on its way hear its answer, close every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
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
            if error.fault.fault is FaultClass.AUTH:
                self._show(live, "auth-failed")
            raise
        live.last_outbound_at = self._clock.now()
        if not isinstance(result, Mapping) or "message_id" not in result:
            detail = "the answer has no message id"
            raise ChannelError(Fault(fault=FaultClass.NETWORK_AMBIGUOUS, detail=detail))
        return Sent(message_id=str(result["message_id"]))

    async def typing(self, route: Route) -> None:
        """Show `typing` for five seconds."""
        live = self._live.get(route.account_id)
        if live is not None and self.ready(route.account_id):
            await live.sending.call("sendChatAction", typing_parameters(route))

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
        return AccountStatus(
            account_id=account.id,
            configured=bool(account.token),
            enabled=account.enabled,
            runtime=live.runtime if live else "stopped",
            token_source=account.token_source,
            last_error=live.last_error if live else None,
            last_inbound_at=live.last_inbound_at if live else None,
            last_outbound_at=live.last_outbound_at if live else None,
            extra=extra,
        )

    async def probe(self, account_id: str) -> Mapping[str, Any]:
        """Ask `getMe` and `getWebhookInfo`: ``{ok, detail, ...}``. Works before `start` too."""
        account = next((each for each in self._accounts if each.id == account_id), None)
        if account is None or not account.token:
            return {"ok": False, "detail": f"account {account_id!r} is not configured"}
        api = _client(account)
        try:
            me = _me(await api.call("getMe", {}), _nobody(account))
            hook = await api.call("getWebhookInfo", {})
        except ChannelError as error:
            return error.probed()
        finally:
            await api.close()
        url = hook.get("url", "") if isinstance(hook, Mapping) else ""
        return {"ok": True, "detail": "works", "username": me.username, "webhook": bool(url)}

    # -- polling ---------------------------------------------------------------------------

    async def _serve(self, live: _Live, admit: Admit) -> None:
        """Poll for ever. Only a refused token ends it."""
        live.last_poll = self._clock.monotonic()
        while live.runtime != "auth-failed":
            try:
                if live.me is None:
                    await self._hello(live)
                await self._poll(live, admit, live.me or _nobody(live.account))
            except ChannelError as error:
                await self._trouble(live, error.fault)
            except Exception:  # the seam of one connection; the update comes again
                log.exception("an update was not admitted", extra={"account": live.account.id})
                await self._trouble(live, Fault(fault=FaultClass.SERVER, detail="not admitted"))

    async def _hello(self, live: _Live) -> None:
        """Learn who we are, and take the poll over from a webhook that is still set."""
        self._show(live, "connecting")
        if self._load_cursor is not None:
            stored = await self._load_cursor(self.id, live.account.id)
            live.offset = int(stored) if stored and stored.isdecimal() else None
        live.me = await self._introduced(live)
        await self._take_over(live)
        with contextlib.suppress(ChannelError):  # a platform without it is a platform all the same
            await live.polling.call("setMyCommands", {"commands": list(COMMANDS)})

    async def _take_over(self, live: _Live) -> None:
        """A webhook that is set keeps polls out; one that stays shows itself as a conflict."""
        try:
            await live.polling.call("deleteWebhook", {"drop_pending_updates": False})
        except ChannelError as error:
            with contextlib.suppress(ChannelError):
                hook = await live.polling.call("getWebhookInfo", {})
                if isinstance(hook, Mapping) and not hook.get("url"):
                    return  # there is none to take over from
            log.warning("deleteWebhook failed", extra={"detail": str(error)})

    async def _introduced(self, live: _Live) -> Me:
        """Ask who we are. A platform that cannot say it may still poll and send (§9)."""
        nobody = _nobody(live.account)
        try:
            return _me(await live.polling.call("getMe", {}), nobody)
        except ChannelError as error:
            fault = error.fault
            if fault.code != "404" and fault.fault is not FaultClass.UNKNOWN_ERROR:
                raise
            log.warning("getMe failed; mentions are not seen", extra={"detail": str(error)})
            return nobody

    async def _poll(self, live: _Live, admit: Admit, me: Me) -> None:
        parameters: dict[str, Any] = {
            "timeout": self._poll_seconds,
            "limit": POLL_LIMIT,
            "allowed_updates": list(ALLOWED_UPDATES),
        }
        if live.offset is not None:
            parameters["offset"] = live.offset
        began = self._clock.monotonic()
        updates = await live.polling.call("getUpdates", parameters, wait=self._poll_seconds)
        live.last_poll = self._clock.monotonic()
        self._recovered(live)
        before = live.offset
        for update in updates if isinstance(updates, list) else ():
            await self._take(live, admit, me, update)
        if live.offset == before:
            await self._do_not_spin(live, live.last_poll - began)
        else:
            live.floor = _FLOOR

    async def _take(self, live: _Live, admit: Admit, me: Me, update: object) -> None:
        """Admit one update; the offset moves only once that is durable."""
        number = update_id(update)
        if number is None:
            log.warning("an update has no number", extra={"account": live.account.id})
            return
        message = parse_update(update, live.account.id, me, self._clock.now())
        if message is not None:
            await admit(message)
            live.last_inbound_at = self._clock.now()
        live.offset = number + 1

    async def _do_not_spin(self, live: _Live, held: timedelta) -> None:
        """An answer long before its time that brings nothing new must not make a busy loop."""
        if held >= timedelta(seconds=self._poll_seconds) * 0.9:
            live.floor = _FLOOR
            return
        await self._wait(live.floor)
        live.floor = min(live.floor * 2, _HIGHEST_FLOOR)

    def _recovered(self, live: _Live) -> None:
        live.failures = live.conflicts = 0
        if live.runtime != "connected":
            live.last_error = None
            self._show(live, "connected")

    async def _trouble(self, live: _Live, fault: Fault) -> None:
        """Show what is wrong and wait; a refused token ends the account instead."""
        live.last_error = f"{fault.fault}: {fault.code} {fault.detail}".strip()
        log.warning(
            "telegram poll failed",
            extra={"account": live.account.id, "fault": str(fault.fault), "detail": fault.detail},
        )
        match fault.fault:
            case FaultClass.AUTH:
                self._show(live, "auth-failed")
                return
            case FaultClass.CONFLICT:
                wait = _CONFLICT_BACKOFF[min(live.conflicts, len(_CONFLICT_BACKOFF) - 1)]
                live.conflicts += 1
                self._show(live, "conflict")
            case _:
                wait = _BACKOFF[min(live.failures, len(_BACKOFF) - 1)]
                live.failures += 1
                self._show(live, "backoff")
        if fault.retry_after_seconds is not None:
            wait = max(wait, timedelta(seconds=fault.retry_after_seconds))
        if self._clock.monotonic() - live.last_poll > STALLED_AFTER:
            await self._rebuild(live)
        await self._wait(wait)

    async def _rebuild(self, live: _Live) -> None:
        """A client that has not finished a poll for two minutes is not trusted any more."""
        await live.polling.close()
        live.polling = _client(live.account)
        live.last_poll = self._clock.monotonic()

    async def _wait(self, length: timedelta) -> None:
        await self._clock.sleep_until(self._clock.now() + length)

    def _show(self, live: _Live, runtime: str) -> None:
        if live.runtime == runtime:
            return
        live.runtime = runtime
        self._bus.publish(
            "channel", {"channel": self.id, "accountId": live.account.id, "runtime": runtime}
        )


async def _with_file(api: BotApi, parameters: Mapping[str, Any], media: Media) -> Any:
    method = method_of(media)
    try:
        return await api.upload(method.name, captioned(parameters), method.field, media)
    except ChannelError as error:
        raise ChannelError(of_file(error.fault)) from None


def _client(account: TelegramAccount) -> BotApi:
    return BotApi(account.token, account.api_root, account.timeout)


def _me(result: object, otherwise: Me) -> Me:
    if not isinstance(result, Mapping):
        return otherwise
    ident = result.get("id")
    known = ident if isinstance(ident, int) else otherwise.id
    return Me(known, str(result.get("username") or ""))


def _nobody(account: TelegramAccount) -> Me:
    """What the token itself says: the bot's id stands before its colon."""
    ident = account.token.partition(":")[0]
    return Me(int(ident) if ident.isdecimal() and len(ident) < 20 else 0, "")
