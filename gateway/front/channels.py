"""Channels and accounts as clients see them (protocol.md §10.5, channels.md §12). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from engine.store.outbox import Left
from gateway.channels.base import AccountStatus, Channel
from jobs.wallclock import ms

_NOT_RUNNING: Final = frozenset({"stopped", "fatal", "auth-failed"})


def objects(channels: Mapping[str, Channel]) -> dict[str, Any]:
    """One object per channel: whether it runs, and what went wrong last."""
    return {name: _object(channel.status()) for name, channel in channels.items()}


def _object(accounts: tuple[AccountStatus, ...]) -> dict[str, Any]:
    return {
        # One without accounts serves addresses of jobs only.
        "configured": any(one.configured for one in accounts),
        "running": any(one.runtime != "stopped" for one in accounts),
        "lastError": next((one.last_error for one in accounts if one.last_error), None),
    }


def summary(channels: Mapping[str, Channel]) -> list[str]:
    """A line per account."""
    return [
        f"{name}: {one.account_id} {one.runtime}"
        for name, channel in channels.items()
        for one in channel.status()
    ]


def _config_word(status: AccountStatus) -> str:
    """What the config makes of an account (channels.md §12)."""
    if not status.enabled:
        return "disabled"
    return "configured" if status.configured else "not-configured"


def account_words(status: AccountStatus) -> dict[str, Any]:
    """One account of `channels.status`."""
    return {
        "accountId": status.account_id,
        "enabled": status.enabled,
        "configured": status.configured,
        "running": status.runtime not in _NOT_RUNNING,
        "connected": status.connected,
        "runtime": status.runtime,
        "config": _config_word(status),
        "lastError": status.last_error,
        "lastInboundAt": ms(status.last_inbound_at),
        "lastOutboundAt": ms(status.last_outbound_at),
        "aliveAt": ms(status.alive_at),
        "tokenSource": status.token_source,
        **status.extra,
    }


def add_past(row: dict[str, Any], left: Left | None, heard: datetime | None) -> None:
    """Add what happened before this process, or was never the channel's to know.

    A message that failed is told until the next one arrives: an account that works as a
    connection may still reach nobody.
    """
    if row["lastInboundAt"] is None:
        row["lastInboundAt"] = ms(heard)
    if left is None:
        return
    if row["lastOutboundAt"] is None:
        row["lastOutboundAt"] = ms(left.sent_at)
    if left.failed is not None:
        row["lastFailure"] = {
            "reason": left.failed.kind,
            "detail": left.failed.detail,
            "to": left.failed.route.whom,
            "atMs": ms(left.failed_at),
        }
