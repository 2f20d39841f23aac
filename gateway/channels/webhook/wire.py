"""What a webhook sends, where it may, and what an answer means. Pure (channels.md §13)."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from gateway.channels.addresses import private
from gateway.channels.base import Attempt, Fault, FaultClass

DETAIL_MOST: Final = 4096  # bytes of an answer that are kept
_LONGEST_WAIT: Final = 3600.0
_BY_STATUS: Final[Mapping[int, FaultClass]] = {
    401: FaultClass.AUTH,
    403: FaultClass.AUTH,
    404: FaultClass.NOT_FOUND,
    408: FaultClass.SERVER,
    410: FaultClass.NOT_FOUND,
    413: FaultClass.TOO_LONG,
    425: FaultClass.SERVER,
    429: FaultClass.RATE_LIMITED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAccount:
    """One place that takes POST. The URL may hold a secret and is never shown."""

    id: str
    url: str | None = field(default=None, repr=False)  # None: the route's recipient is the URL
    secret: str | None = field(default=None, repr=False)
    bearer: bool = False  # the secret is sent as a bearer token too (cron.webhookToken)
    format: str = "text"
    enabled: bool = True
    allow_private: bool = False
    allowed_hosts: tuple[str, ...] = ()
    blocked_hosts: tuple[str, ...] = ()
    probe_url: str | None = field(default=None, repr=False)


def body_of(
    attempt: Attempt, told: Mapping[str, Any], account: WebhookAccount, now: datetime
) -> bytes:
    """Return the JSON that is posted; ``told`` are the facts of the run it belongs to."""
    words = {
        **told,
        "id": attempt.key,
        "kind": attempt.kind,
        "agentId": attempt.agent_id,
        "runId": attempt.run_id,
        "text": attempt.text,
        "format": account.format,
        "target": None if account.url is None else attempt.route.to,
        "ts": round(now.timestamp() * 1000),
    }
    kept = {key: value for key, value in words.items() if value is not None}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(
    attempt: Attempt, body: bytes, account: WebhookAccount, now: datetime
) -> dict[str, str]:
    """Return the headers: an idempotency key, and a signature over time and body."""
    stamp = str(round(now.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": f"{attempt.key}#{attempt.chunk_index}",
        "X-Engine-Timestamp": stamp,
    }
    if account.secret:
        signed = hmac.new(account.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256)
        headers["X-Engine-Signature"] = f"sha256={signed.hexdigest()}"
        if account.bearer:
            headers["Authorization"] = f"Bearer {account.secret}"
    return headers


def refused_host(host: str, addresses: Sequence[str], account: WebhookAccount) -> str | None:
    """Return why nothing may be posted to a host, or None. Addresses are what it resolves to."""
    name = host.lower().rstrip(".")
    if name in {each.lower() for each in account.blocked_hosts}:
        return f"{host} is in blockedHostnames"
    if account.allow_private or name in {each.lower() for each in account.allowed_hosts}:
        return None
    found = private(addresses)
    return None if found is None else f"{host} is a private address ({found})"


def fault_of(status: int, retry_after: str | None, detail: str, now: datetime) -> Fault:
    """Return the fault of an answer that is no 2xx; a redirect is not followed."""
    kind = _BY_STATUS.get(status, FaultClass.CONTENT_REJECTED)
    if 300 <= status < 400:
        detail = f"it answered with a redirect, which is not followed. {detail}"
    if status >= 500:
        kind = FaultClass.SERVER
    return Fault(
        fault=kind,
        code=str(status),
        detail=" ".join(detail.split())[:300],
        retry_after_seconds=_wait(retry_after, now),
    )


def _wait(text: str | None, now: datetime) -> float | None:
    """Return the seconds that `Retry-After` asks for: a number, or a date (RFC 9110 §10.2.3)."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
            at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
            seconds = (at - now).total_seconds()
        except (TypeError, ValueError, OverflowError):
            return None  # whatever it says, it is no date of this calendar
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else None
