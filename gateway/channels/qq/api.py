"""QQ's REST interface over httpx: one request, one answer or one `ChannelError`. No policy.

The one repeat made here is the platform's own rule: a token it refuses is replaced once, and
the request, which was not obeyed, is made again (channels.md §8).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import httpx

from engine.messages.fault import Fault, FaultClass
from engine.messages.media import Media
from gateway.channels.base import ChannelError
from gateway.channels.qq.account import QqAccount
from gateway.channels.qq.faults import PENDING_AUDIT, classify, code_of, stale_token
from gateway.channels.qq.media import Upload, files_path, of_upload
from gateway.channels.qq.token import Tokens
from gateway.channels.rest import (
    UPLOAD_TIMEOUT,
    WHOLE_CALL,
    WHOLE_UPLOAD,
    client,
    json_object,
    network_fault,
)

_HIDDEN: Final = "<hidden>"


class QqApi:
    """One bot's requests."""

    def __init__(self, account: QqAccount, monotonic: Callable[[], timedelta]) -> None:
        self._account = account
        self._client = client()
        self.tokens = Tokens(self._ask_for_token, monotonic)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def gateway(self) -> str:
        """Return the address of the WebSocket gateway."""
        if self._account.gateway_url:
            return self._account.gateway_url
        body = await self.call("GET", "/gateway")
        url = body.get("url")
        if not isinstance(url, str) or not url.startswith(("ws://", "wss://")):
            detail = "the platform named no gateway"
            raise ChannelError(Fault(fault=FaultClass.SERVER, detail=detail))
        return url

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | Upload | None = None
    ) -> Mapping[str, Any]:
        """Return the answer of one request. Raises `ChannelError`; see `FaultClass`."""
        token = await self.tokens.get()
        status, answer, later = await self._once(method, path, body, token)
        if stale_token(status, answer):
            token = await self.tokens.another(token)
            status, answer, later = await self._once(method, path, body, token)
        taken = 200 <= status < 300 and code_of(answer) in (0, *PENDING_AUDIT)
        if taken and answer is not None:
            return answer
        raise ChannelError(self._clean(classify(status, answer, retry_after=later)))

    async def upload(self, to: str, media: Media) -> Mapping[str, Any]:
        """Upload a file for a peer; return how a message names it.

        Raises `ChannelError` as `call` does, and nothing was shown to anybody.
        """
        try:
            answer = await self.call("POST", files_path(to), Upload(media))
        except OSError as error:
            detail = f"the file cannot be read: {error.strerror}"
            fault = Fault(fault=FaultClass.MEDIA_REFUSED, code="gone", detail=detail)
            raise ChannelError(fault) from None
        except ChannelError as error:
            raise ChannelError(of_upload(error.fault)) from None
        if not isinstance(info := answer.get("file_info"), str) or not info:
            detail = "the platform named no uploaded file"
            raise ChannelError(Fault(fault=FaultClass.MEDIA_REFUSED, detail=detail))
        return {"file_info": info}

    async def _once(
        self, method: str, path: str, body: Mapping[str, Any] | Upload | None, token: str
    ) -> tuple[int, Mapping[str, Any] | None, str | None]:
        headers = {"Authorization": f"QQBot {token}", "X-Union-Appid": self._account.app_id}
        url = self._account.api_base.rstrip("/") + path
        answer = await self._exchange(method, url, body, headers)
        return answer.status_code, json_object(answer), answer.headers.get("retry-after")

    async def _ask_for_token(self) -> tuple[int, Mapping[str, Any] | None]:
        account = self._account
        body = {"appId": account.app_id, "clientSecret": account.client_secret}
        try:
            answer = await self._exchange("POST", account.token_url, body, {})
        except ChannelError as error:  # nothing of a message has left
            fault = error.fault
            presend = Fault(
                fault=FaultClass.NETWORK_PRESEND, code=fault.code, detail=f"token: {fault.detail}"
            )
            raise ChannelError(presend) from None
        return answer.status_code, json_object(answer)

    async def _exchange(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | Upload | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        try:
            if isinstance(body, Upload):
                return await self._streamed(method, url, body, headers)
            async with asyncio.timeout(WHOLE_CALL):
                return await self._client.request(
                    method, url, json=None if body is None else dict(body), headers=dict(headers)
                )
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise ChannelError(self._clean(network_fault(error))) from None

    async def _streamed(
        self, method: str, url: str, body: Upload, headers: Mapping[str, str]
    ) -> httpx.Response:
        about = {"Content-Type": "application/json", "Content-Length": str(body.length)}
        async with asyncio.timeout(WHOLE_UPLOAD):
            return await self._client.request(
                method,
                url,
                content=body.body(),
                headers={**headers, **about},
                timeout=UPLOAD_TIMEOUT,
            )

    def _clean(self, fault: Fault) -> Fault:
        secret = self._account.client_secret
        if not secret or secret not in fault.detail:
            return fault
        return Fault(
            fault=fault.fault,
            code=fault.code,
            detail=fault.detail.replace(secret, _HIDDEN),
            retry_after_seconds=fault.retry_after_seconds,
            links_refused=fault.links_refused,
        )
