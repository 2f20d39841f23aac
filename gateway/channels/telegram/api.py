"""The Bot API over httpx: one request, one answer or one `ChannelError`. No retry, no policy.

The token is part of every address, so nothing that could quote an address leaves this file
unredacted, and httpx's own request log is kept silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import httpx

from gateway.channels.base import ChannelError, Fault, FaultClass
from gateway.channels.telegram.faults import classify

SEND_TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)
POLL_SLACK: Final = 15.0  # seconds beyond the long poll before we give the connection up
# An answer that trickles in keeps a read timeout happy for ever; this one counts the whole.
WHOLE_CALL: Final = 60.0
# Nothing of the request has left: repeating it is always safe.
_PRESEND: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    httpx.InvalidURL,
)


class BotApi:
    """One bot's methods. Polling and sending use an object each, so that neither starves."""

    def __init__(self, token: str, root: str) -> None:
        for name in ("httpx", "httpcore"):  # they log addresses, which hold the token
            logging.getLogger(name).setLevel(logging.WARNING)
        self._token = token
        self._base = f"{root.rstrip('/')}/bot{token}/"
        self._client = httpx.AsyncClient(timeout=SEND_TIMEOUT, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(
        self, method: str, params: Mapping[str, Any], *, wait: float | None = None
    ) -> Any:
        """Return the result of one method. ``wait`` is how long the platform may hold the answer.

        Raises `ChannelError`; `network-ambiguous` means the request may have been obeyed.
        """
        timeout = SEND_TIMEOUT if wait is None else httpx.Timeout(wait + POLL_SLACK, connect=10.0)
        try:
            async with asyncio.timeout(WHOLE_CALL + (wait or 0)):
                answer = await self._client.post(
                    self._base + method, json=dict(params), timeout=timeout
                )
        except TimeoutError as error:
            raise ChannelError(self._network(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ChannelError(self._network(error)) from None  # its cause quotes the address
        body = _json(answer)
        if answer.is_success and body is not None and body.get("ok") is True and "result" in body:
            return body["result"]
        later = answer.headers.get("retry-after")
        raise ChannelError(self._clean(classify(answer.status_code, body, retry_after=later)))

    def _network(self, error: Exception) -> Fault:
        presend = isinstance(error, _PRESEND)
        kind = FaultClass.NETWORK_PRESEND if presend else FaultClass.NETWORK_AMBIGUOUS
        words = str(error) or "no answer"
        return self._clean(Fault(fault=kind, code=type(error).__name__, detail=words[:300]))

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


def _json(answer: httpx.Response) -> Mapping[str, Any] | None:
    try:
        body = answer.json()
    except (ValueError, RecursionError):  # the latter: brackets without end
        return None
    return body if isinstance(body, Mapping) else None
