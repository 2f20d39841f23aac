"""The webhook channel: one signed POST per message, to a configured account or a job's URL.

A host is resolved once, judged, and then called by the address that was judged, so that a
name cannot lead elsewhere between the two.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import httpx

from engine.clock import Clock
from engine.messages.address import Route
from engine.messages.media import Media
from engine.messages.route import JOB_WEBHOOKS, PINGS
from engine.shelf import NotSaved
from gateway.channels.addresses import Resolve, resolved
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
from gateway.channels.rest import PRESEND, client
from gateway.channels.text import code_points
from gateway.channels.webhook.wire import (
    DETAIL_MOST,
    WebhookAccount,
    body_of,
    fault_of,
    headers_of,
    refused_host,
)

TIMEOUT: Final = httpx.Timeout(10.0)
WHOLE_CALL: Final = 15.0
PAGE_MOST: Final = 1_000_000  # bytes of a page that is looked at for changes

RunFacts = Callable[[str], Awaitable[Mapping[str, Any]]]


class WebhookChannel:
    """Keeps the promises of `gateway.channels.base.Channel` with HTTP."""

    id = "webhook"

    def __init__(
        self,
        accounts: Sequence[WebhookAccount],
        *,
        clock: Clock,
        facts_of: RunFacts | None = None,
        resolve: Resolve = resolved,
    ) -> None:
        self._accounts = {account.id: account for account in accounts}
        self._clock = clock
        self._facts_of = facts_of
        self._resolve = resolve
        self._client: httpx.AsyncClient | None = None

    async def start(self, admit: Admit) -> None:
        """Nothing to connect: a webhook only sends."""

    async def stop(self) -> None:
        """Close the connections."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def measure(self, text: str) -> int:
        """Code points; there is no limit of ours."""
        return code_points(text)

    def limit(self, account_id: str) -> int:  # noqa: ARG002 - the same for all
        """There is none."""
        return sys.maxsize

    def carries(self, route: Route) -> Carriage:  # noqa: ARG002 - the same for all
        """No files: links, and words about them."""
        return Carriage(name="a webhook")

    def scopes(self, route: Route) -> tuple[Scope, ...]:  # noqa: ARG002 - the server says when
        """No limits of ours; a 429 with its wait is heard."""
        return ()

    def ready(self, account_id: str) -> bool:
        """Whether the account is known and switched on."""
        account = self._accounts.get(account_id)
        return account is not None and account.enabled

    def rules(self, route: Route) -> None:
        """No difference between answers and the rest."""

    def idempotent(self, attempt: Attempt) -> bool:  # noqa: ARG002 - every request has its key
        """Yes: each request carries an ``Idempotency-Key``."""
        return True

    async def send(self, attempt: Attempt) -> Sent:
        """POST once, or raise `ChannelError`."""
        account = self._accounts[attempt.route.account_id]
        told: Mapping[str, Any] = {}
        if attempt.run_id is not None and self._facts_of is not None:
            told = await self._facts_of(attempt.run_id)
        now = self._clock.now()
        body = body_of(attempt, told, account, now)
        headers = headers_of(attempt, body, account, now)
        answer, detail = await self._call(
            "POST", account.url or attempt.route.to, account, headers, body
        )
        if answer.is_success:
            return Sent(message_id=headers["Idempotency-Key"], accepted=True)
        later = answer.headers.get("retry-after")
        words = detail.decode(errors="replace")
        raise ChannelError(fault_of(answer.status_code, later, words, self._clock.now()))

    def bring(self, account_id: str, media: Media) -> AsyncGenerator[bytes]:
        """Nothing comes in here that would have to be fetched."""
        raise NotSaved(f"{media.name} cannot be fetched from {account_id}")

    async def typing(self, route: Route) -> None:
        """Nobody could see it."""

    def status(self) -> tuple[AccountStatus, ...]:
        """Every configured account; there is no connection that could be lost."""
        return tuple(
            AccountStatus(
                account_id=account.id,
                configured=True,
                enabled=account.enabled,
                runtime="connected" if account.enabled else "stopped",
            )
            for account in self._accounts.values()
            if account.id not in (JOB_WEBHOOKS, PINGS)
        )

    async def probe(self, account_id: str) -> Mapping[str, Any]:
        """Ask the account's probe URL, if it has one."""
        account = self._accounts[account_id]
        if account.probe_url is None:
            return {"ok": True, "detail": "not probed: no probeUrl is set"}
        try:
            answer, _ = await self._call("GET", account.probe_url, account, {}, b"")
        except ChannelError as error:
            return {"ok": False, "detail": error.fault.detail}
        return {"ok": answer.is_success, "detail": f"HTTP {answer.status_code}"}

    async def fetch(self, url: str) -> bytes:
        """Return what an address answers to GET, as far as webhooks may reach it.

        Raises `OSError` with what went wrong, without the address: it may hold a secret.
        """
        try:
            answer, body = await self._call(
                "GET", url, self._accounts[PINGS], {}, b"", read=_beginning_of_page
            )
        except ChannelError as error:
            raise OSError(error.fault.detail or error.fault.fault.value) from None
        if not answer.is_success:
            raise OSError(f"HTTP {answer.status_code}")
        return body

    async def judged(self, host: str, port: int) -> str:
        """Return the address of a host that probes may reach. Raises `OSError` if it has none."""
        try:
            return await self._judged(host, port, self._accounts[PINGS])
        except ChannelError as error:
            raise OSError(error.fault.detail) from None

    async def _judged(self, host: str, port: int, account: WebhookAccount) -> str:
        addresses = await self._resolve(host, port)
        if refusal := refused_host(host, addresses, account):
            raise ChannelError(Fault(fault=FaultClass.ADDRESS_REFUSED, code="ssrf", detail=refusal))
        return addresses[0]

    async def _call(
        self,
        method: str,
        url: str,
        account: WebhookAccount,
        headers: Mapping[str, str],
        body: bytes,
        *,
        read: Callable[[httpx.Response], Awaitable[bytes]] | None = None,
    ) -> tuple[httpx.Response, bytes]:
        """Return the answer and the beginning of its body."""
        if self._client is None:
            self._client = client(TIMEOUT, kept=False)
        try:
            async with asyncio.timeout(WHOLE_CALL):
                request = await self._request(method, url, account, headers, body)
                answer = await self._client.send(request, stream=True)
                try:
                    return answer, await (read or _beginning)(answer)
                finally:
                    await answer.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, UnicodeError) as error:
            presend = isinstance(error, (*PRESEND, OSError, UnicodeError))
            presend = presend and not isinstance(error, TimeoutError)
            kind = FaultClass.NETWORK_PRESEND if presend else FaultClass.NETWORK_AMBIGUOUS
            # Its own words may quote the address, which may hold a secret.
            fault = Fault(fault=kind, code=type(error).__name__, detail="it was not reached")
            raise ChannelError(fault) from None

    async def _request(
        self,
        method: str,
        url: str,
        account: WebhookAccount,
        headers: Mapping[str, str],
        body: bytes,
    ) -> httpx.Request:
        """Return the request to the address that was judged, under the name that was asked for."""
        target = httpx.URL(url)
        host = target.host
        port = target.port or (443 if target.scheme == "https" else 80)
        address = await self._judged(host, port, account)
        if self._client is None:
            raise AssertionError("the channel has no client")
        request = self._client.build_request(
            method, target.copy_with(host=address), headers=dict(headers), content=body
        )
        request.headers["Host"] = target.netloc.decode("ascii")
        request.headers["Accept-Encoding"] = "identity"
        request.extensions["sni_hostname"] = host
        return request


async def _beginning(answer: httpx.Response, most: int = DETAIL_MOST) -> bytes:
    """Return the first words of an answer as they came: a few bytes can inflate to gigabytes."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return b""  # compressed, though it was asked not to be
    read = bytearray()
    async for part in answer.aiter_raw():
        read += part
        if len(read) >= most:
            break
    return bytes(read[:most])


async def _beginning_of_page(answer: httpx.Response) -> bytes:
    return await _beginning(answer, PAGE_MOST)
