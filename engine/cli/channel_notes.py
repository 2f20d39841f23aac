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
    if account.get("mode"):
        yield str(account["mode"])
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
    if account.get("note"):
        yield str(account["note"])
