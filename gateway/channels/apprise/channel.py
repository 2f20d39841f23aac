"""The apprise channel: one message to a bundle of services, through the library of that name.

The library is an extra, looks through all its plug-ins at its first use and blocks, so it lives
in worker threads and is not imported before it is needed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from engine.messages.address import Route
from engine.messages.cargo import linked
from engine.messages.media import Media, MediaKind
from engine.shelf import OUT_MOST, NotSaved
from gateway.channels.apprise.wire import (
    AppriseAccount,
    fault_of,
    of_file,
    service,
    services_for,
    worst,
)
from gateway.channels.base import (
    AccountStatus,
    Admit,
    Attempt,
    Carriage,
    ChannelError,
    Fault,
    FaultClass,
    Sent,
)
from gateway.channels.pace import Scope
from gateway.channels.text import code_points

log = logging.getLogger(__name__)

EXTRA: Final = "channel-not-installed: pip install 'heartbeat-engine[apprise]'"
WHOLE_CALL: Final = 60.0  # seconds; each service has its own limits below that

# Sends one part to one service; whether it was taken, and what was logged meanwhile.
Notify = Callable[[str, Attempt], tuple[bool, Sequence[str]]]
# What the library fetches from an address is fetched by this machine: links go as links.
CARRIAGE: Final = Carriage(
    name="apprise",
    most=dict.fromkeys(MediaKind, OUT_MOST),
    caption=sys.maxsize,
    fetches=False,
)


def installed() -> bool:
    """Whether the library is there; nothing is imported to find out."""
    return find_spec("apprise") is not None


class AppriseChannel:
    """Keeps the promises of `gateway.channels.base.Channel` with apprise."""

    id = "apprise"

    def __init__(
        self,
        accounts: Sequence[AppriseAccount],
        *,
        notify: Notify | None = None,
        there: Callable[[], bool] = installed,
    ) -> None:
        self._accounts = {account.id: account for account in accounts}
        self._notify = notify or notified
        self._there = there
        self._failed: dict[str, str] = {}  # by account: what its last message met

    async def start(self, admit: Admit) -> None:
        """Nothing to connect: apprise only sends."""

    async def stop(self) -> None:
        """Nothing to close."""

    def measure(self, text: str) -> int:
        """Code points; each service cuts for itself."""
        return code_points(text)

    def limit(self, account_id: str) -> int:  # noqa: ARG002 - the same for all
        """There is none of ours."""
        return sys.maxsize

    def carries(self, route: Route) -> Carriage:  # noqa: ARG002 - the library knows of each
        """Files, to the services that take them; the others get a word about each."""
        return CARRIAGE

    def scopes(self, route: Route) -> tuple[Scope, ...]:  # noqa: ARG002 - each has its own
        """No limits of ours; a service that says 429 is heard."""
        return ()

    def ready(self, account_id: str) -> bool:
        """Whether the account is switched on, and the library there."""
        account = self._accounts.get(account_id)
        return account is not None and account.enabled and self._there()

    def rules(self, route: Route) -> None:
        """No difference between answers and the rest."""

    def idempotent(self, attempt: Attempt) -> bool:  # noqa: ARG002 - no service knows our key
        """Never: no service is told a key."""
        return False

    async def send(self, attempt: Attempt) -> Sent:
        """Hand the text to every service meant; taken if one took it.

        What some took and others refused is not sent again: it would repeat.
        """
        route = attempt.route
        urls = services_for(route.account_id, route.to, self._accounts)
        if not urls:
            detail = f"no account and no tag is called {route.to!r}, or none has services"
            raise ChannelError(Fault(fault=FaultClass.NOT_FOUND, code="tag", detail=detail))
        await asyncio.to_thread(_refuse_gone, attempt.media)
        faults = await self._told(urls, attempt)
        if len(faults) == len(urls):
            fault = worst(faults)
            fault = fault if attempt.media is None else of_file(fault)
            self._failed[route.account_id] = f"{fault.fault}: {fault.detail}"
            raise ChannelError(fault)
        self._failed.pop(route.account_id, None)
        for fault in faults:
            self._failed[route.account_id] = f"{fault.fault}: {fault.detail}"
            log.warning("one of several services did not take a message: %s", fault.detail)
        took = f"{len(urls) - len(faults)}/{len(urls)} services"
        return Sent(message_id=f"{attempt.key}#{attempt.chunk_index} ({took})", accepted=True)

    async def _told(self, urls: Sequence[str], attempt: Attempt) -> list[Fault]:
        """Return the faults of the services that did not take the text."""
        try:
            async with asyncio.timeout(WHOLE_CALL):
                answers = await asyncio.gather(
                    *(asyncio.to_thread(self._notify, url, attempt) for url in urls)
                )
        except TimeoutError:
            detail = f"no answer within {WHOLE_CALL:g} s"
            fault = Fault(fault=FaultClass.NETWORK_AMBIGUOUS, code="timeout", detail=detail)
            raise ChannelError(fault) from None
        return [
            fault_of(url, lines)
            for url, (taken, lines) in zip(urls, answers, strict=True)
            if not taken
        ]

    def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        """Nothing comes in here that would have to be fetched."""
        raise NotSaved(f"{media.name} cannot be fetched from {account_id}")

    async def typing(self, route: Route) -> None:
        """Nobody could see it."""

    def status(self) -> tuple[AccountStatus, ...]:
        """Every configured account; there is no connection that could be lost."""
        there = self._there()
        return tuple(
            AccountStatus(
                account_id=account.id,
                configured=True,
                enabled=account.enabled,
                runtime=_runtime(account, there=there),
                last_error=self._failed.get(account.id) if there else EXTRA,
                extra={
                    "installed": there,
                    "services": [service(url) for url in account.urls],
                    **({"name": account.name} if account.name else {}),
                },
            )
            for account in self._accounts.values()
        )

    async def probe(self, account_id: str) -> Mapping[str, Any]:
        """Whether the library knows what to do with every URL; no service is asked."""
        if not self._there():
            return {"ok": False, "class": "channel-not-installed", "detail": EXTRA, "fix": EXTRA}
        urls = self._accounts[account_id].urls
        if not urls:
            return {"ok": False, "detail": "probe failed: it has no urls"}
        bad = [
            number
            for number, url in enumerate(urls, 1)
            if not await asyncio.to_thread(_understood, url)
        ]
        if bad:
            which = ", ".join(f"{number} ({service(urls[number - 1])})" for number in bad)
            return {"ok": False, "detail": f"probe failed: url {which} is not understood"}
        return {"ok": True, "detail": "works"}


def _runtime(account: AppriseAccount, *, there: bool) -> str:
    if not account.enabled:
        return "stopped"
    return "connected" if there else "fatal"


def _library() -> Any:
    """Return the library; what it logs may hold what its URLs hold, and stays in here."""
    import apprise

    own = logging.getLogger("apprise")
    own.propagate = False
    own.setLevel(logging.INFO)
    return apprise


def _attached(media: Media) -> Any:
    """Return a file as the library takes one, under the name that people know."""
    from apprise.attachment.file import AttachFile

    return AttachFile(media.path, name=media.name)


def _understood(url: str) -> bool:
    return bool(_library().Apprise().add(url))


def _refuse_gone(media: Media | None) -> None:
    if media is not None and not Path(media.path or "").is_file():
        fault = Fault(fault=FaultClass.MEDIA_REFUSED, code="gone", detail="the file is gone")
        raise ChannelError(fault)


def notified(url: str, attempt: Attempt) -> tuple[bool, Sequence[str]]:
    """Send to one service, in a thread of its own. See `Notify`."""
    lines: list[str] = []
    one = _library().Apprise()
    if not one.add(url):
        return False, ["it is no URL of a service: error=404"]
    text, file, media = attempt.text, None, attempt.media
    if media is not None and one[0].attachment_support:
        file = _attached(media)
    elif media is not None:
        word = linked(media, f"{service(url)} takes no files")
        text = "\n".join(part for part in (text, word) if part)
    taken = one.notify(
        body=text,
        attach=file,
        body_format="text" if attempt.plain else "markdown",
        log_callback=lambda entry, _: lines.append(str(entry.message)),
        log_level=logging.INFO,
    )
    return bool(taken), lines
