"""What else there is to know about an account: a few words beside its row (channels.md §12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from engine.cli.render import duration, relative


def notes(account: Mapping[str, Any], now: datetime, *, default: bool = False) -> str:
    """Return the words for one account, '' where there is nothing to add."""
    return " · ".join(_words(account, now, default=default))


def _words(account: Mapping[str, Any], now: datetime, *, default: bool) -> Iterator[str]:
    if default:
        yield "default"
    if account.get("mode") == "webhook":
        yield "webhook"
    if account.get("tokenSource"):
        yield f"token:{account['tokenSource']}"
    if (left := account.get("tokenExpiresInMs")) is not None:
        yield f"token good for {duration(max(left, 0))}"
    if account.get("resumable"):
        yield "resumable"
    if account.get("allow") == "*":
        yield "allow:*"
    if (again := account.get("retryAt")) is not None:
        yield f"next try {relative(again, now)}"
    if quota := account.get("quota"):
        yield f"{quota.get('left')} of {quota.get('perDay')} unasked left today"
    yield from _traffic(account, now)
    if account.get("note"):
        yield str(account["note"])


def _traffic(account: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """What waits, what was not answered, and what was done about a silent connection."""
    if count := account.get("waiting"):
        yield f"{count} in line"
    if count := account.get("queued"):
        yield f"{count} to send"
    if drop := account.get("lastDrop"):
        reason, chat = str(drop.get("reason")), drop.get("chat")
        where = f" ({chat})" if chat and reason.startswith("group-") else ""
        yield f"last drop: {reason}{where} {relative(drop.get('atMs'), now)}"
    if count := account.get("restarts"):
        last = relative(account.get("restartedAt"), now)
        over = ", no more this hour" if account.get("restartsUsedUp") else ""
        yield f"restarted {count} times this hour, {last}{over}"
