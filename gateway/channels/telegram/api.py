"""The Bot API over httpx: one request, one answer or one `ChannelError`. No retry, no policy.

The token is part of every address, so nothing that could quote an address leaves this file
unredacted, and httpx's own request log is kept silent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import httpx

from engine.messages.media import Media
from engine.shelf import NotSaved
from gateway.channels.base import ChannelError, Fault, FaultClass
from gateway.channels.fetching import Source, pieces
from gateway.channels.rest import (
    SEND_TIMEOUT,
    UPLOAD_TIMEOUT,
    WHOLE_CALL,
    WHOLE_UPLOAD,
    client,
    json_object,
    network_fault,
)
from gateway.channels.telegram.attached import file_path
from gateway.channels.telegram.faults import classify

UPLOAD_SLACK: Final = 40.0  # seconds the platform may take to fetch what an address names
POLL_SLACK: Final = 20.0  # seconds beyond the long poll before we give the connection up


class BotApi:
    """One bot's methods. Polling and sending use an object each, so that neither starves."""

    def __init__(self, token: str, root: str, timeout_seconds: float | None = None) -> None:
        self._token = token
        self._base = f"{root.rstrip('/')}/bot{token}/"
        self._files = f"{root.rstrip('/')}/file/bot{token}/"
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
        limit = WHOLE_CALL + (wait or 0)
        return await self._answer(method, limit, json=dict(params), timeout=timeout)

    async def upload(self, method: str, params: Mapping[str, Any], field: str, media: Media) -> Any:
        """Return the result of a method that sends a file: read piece by piece, or its address.

        Raises `ChannelError` as `call` does; `media-refused` for a file that is gone.
        """
        if media.path is None:
            return await self.call(method, {**params, field: media.url}, wait=UPLOAD_SLACK)
        try:
            file = await asyncio.to_thread(Path(media.path).open, "rb")
        except OSError as error:
            detail = f"the file cannot be read: {error.strerror}"
            fault = Fault(fault=FaultClass.MEDIA_REFUSED, code="gone", detail=detail)
            raise ChannelError(fault) from None
        with file:
            return await self._answer(
                method,
                WHOLE_UPLOAD,
                data={name: _written(value) for name, value in params.items()},
                files={field: (media.name, file, media.mime or "application/octet-stream")},
                timeout=UPLOAD_TIMEOUT,
            )

    async def file(self, ref: str, most: int) -> AsyncGenerator[bytes]:
        """Return a file people sent, as it comes. Raises `NotSaved`; no word holds the token."""
        try:
            path = file_path(await self.call("getFile", {"file_id": ref}))
        except ChannelError as error:
            fault = error.fault
            raise NotSaved(
                f"Telegram does not hand it out: {fault.detail or fault.fault}"
            ) from None
        if not path:
            raise NotSaved("Telegram names no place from which it can be fetched")
        async with aclosing(pieces(Source(self._files + path, own=True), most)) as found:
            async for piece in found:
                yield piece

    async def _answer(self, method: str, limit: float, **request: Any) -> Any:
        try:
            async with asyncio.timeout(limit):
                answer = await self._client.post(self._base + method, **request)
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


def _written(value: object) -> str:
    """A parameter as a field of a form: what is no text is JSON."""
    return value if isinstance(value, str) else json.dumps(value)
