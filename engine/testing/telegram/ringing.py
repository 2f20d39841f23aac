"""The platform's end of a webhook: it rings, and rings again until it hears 200.

Only loopback is rung at: a public address has to be led there first, as a proxy would
(`TelegramStandIn.lead`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_ANSWER: Final = 10.0  # seconds


async def ring(url: str, update: Mapping[str, Any], secret: str) -> str:
    """Bring one update; return '' if it was taken, else what went wrong in the platform's words."""
    parts = urlsplit(url)
    body = json.dumps(update, ensure_ascii=False).encode()
    head = (
        f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Telegram-Bot-Api-Secret-Token: {secret}\r\nConnection: close\r\n\r\n"
    )
    try:
        async with asyncio.timeout(_ANSWER):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(head.encode() + body)
                await writer.drain()
                line = (await reader.readline()).decode("latin-1").split(" ", 2)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return "Connection refused"
    status = line[1] if len(line) > 1 else "0"
    return "" if status.startswith("2") else f"Wrong response from the webhook: {status}"
