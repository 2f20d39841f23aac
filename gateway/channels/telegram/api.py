"""The Bot API over httpx: one request, one answer or one `ChannelError`. No retry, no policy.

The token is part of every address, so nothing that could quote an address leaves this file
unredacted, and httpx's own request log is kept silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx

from gateway.channels.base import ChannelError, Fault
from gateway.channels.rest import (
    SEND_TIMEOUT,
    WHOLE_CALL,
    client,
    json_object,
    network_fault,
)
from gateway.channels.telegram.faults import classify

POLL_SLACK: Final = 15.0  # seconds beyond the long poll before we give the connection up


class BotApi:
    """One bot's methods. Polling and sending use an object each, so that neither starves."""

    def __init__(self, token: str, root: str, timeout_seconds: float | None = None) -> None:
        self._token = token
        self._base = f"{root.rstrip('/')}/bot{token}/"
        self._timeout = SEND_TIMEOUT
        if timeout_seconds is not None:
            self._timeout = httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, 10.0))
        self._client = client()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(
        self, method: str, params: Mapping[str, Any], *, wait: float | None = None
    ) -> Any:
        """Return the result of one method. ``wait`` is how long the platform may hold the answer.

        Raises `ChannelError`; `network-ambiguous` means the request may have been obeyed.
        """
        timeout = self._timeout if wait is None else httpx.Timeout(wait + POLL_SLACK, connect=10.0)
        try:
            async with asyncio.timeout(WHOLE_CALL + (wait or 0)):
                answer = await self._client.post(
                    self._base + method, json=dict(params), timeout=timeout
                )
        except TimeoutError as error:
            raise ChannelError(self._network(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ChannelError(self._network(error)) from None  # its cause quotes the address
        body = json_object(answer)
        if answer.is_success and body is not None and body.get("ok") is True and "result" in body:
            return body["result"]
        later = answer.headers.get("retry-after")
        raise ChannelError(self._clean(classify(answer.status_code, body, retry_after=later)))

    def _network(self, error: Exception) -> Fault:
        return self._clean(network_fault(error))

    def _clean(self, fault: Fault) -> Fault:
        if not self._token or self._token not in fault.detail:
            return fault
        return Fault(
            fault=fault.fault,
            code=fault.code,
            detail=fault.detail.replace(self._token, "<token>"),
            retry_after_seconds=fault.retry_after_seconds,
            migrate_to=fault.migrate_to,
        )
