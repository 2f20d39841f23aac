"""A delivery as a channel takes it: its chunks, cut once, and the one that goes next. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.messages.address import Route
from engine.messages.cargo import load_of, stow, uncaptioned, words_of
from engine.messages.contact import RECALL, reply_of
from engine.messages.delivery import Delivery
from gateway.channels.base import Attempt, Channel
from gateway.channels.text import MAX_CHUNKS, chunk, defanged

MAY_REPEAT: Final = "\n\n(may repeat)"


def planned(
    delivery: Delivery, channel: Channel, most: int = MAX_CHUNKS
) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """Chunks and notes, made once: a retry repeats identical chunks (channels.md §6)."""
    if delivery.chunks:
        return delivery.chunks, delivery.notes
    carriage = channel.carries(delivery.route)
    stowed = stow(delivery.media, carriage, max(most - 1, 1))
    text = "\n".join(part for part in (delivery.text.rstrip(), *stowed.words) if part)
    notes = {**delivery.notes, **stowed.notes}
    files = len(stowed.parts)
    if files and channel.measure(text) <= carriage.caption:
        return (text.strip(), *[""] * (files - 1)), notes
    limit = channel.limit(delivery.route.account_id)
    plan = chunk(text, limit, channel.measure, max_chunks=max(most - files, 1))
    truncated = {"truncated": True} if plan.truncated else {}
    return (*[""] * files, *plan.chunks), {**notes, **truncated}


def smaller(delivery: Delivery, channel: Channel) -> tuple[str, ...]:
    """Cut the refused chunk again, at half the size; what was sent already stays as it is."""
    at = delivery.cursor
    limit = channel.limit(delivery.route.account_id)
    if parts := uncaptioned(delivery, chunk(delivery.chunks[at], limit, channel.measure).chunks):
        return parts
    again = chunk(delivery.chunks[at], limit // 2, channel.measure)
    return (*delivery.chunks[:at], *again.chunks, *delivery.chunks[at + 1 :])


def attempt_of(delivery: Delivery, route: Route) -> Attempt:
    """The chunk at the cursor, on its way to ``route``."""
    text = words_of(delivery)
    if delivery.notes.get("defanged"):
        text = defanged(text)
    if delivery.notes.get("mayRepeat"):
        text += MAY_REPEAT
    return Attempt(
        key=delivery.key,
        chunk_index=delivery.cursor,
        route=route,
        text=text,
        plain=bool(delivery.notes.get("formatFallback")),
        silent=bool(delivery.notes.get("silent")),
        kind=delivery.kind,
        agent_id=delivery.agent_id,
        run_id=delivery.run_id,
        media=load_of(delivery),
        reply=reply_of(delivery.notes),
        recall=delivery.notes.get("via") == RECALL,
    )


def refusal(route: Route, channel: Channel | None) -> str:
    """Why nothing can ever be sent there, or '' if waiting makes sense."""
    if channel is None:
        return "channel-not-ready"
    account = next((each for each in channel.status() if each.account_id == route.account_id), None)
    if account is None:
        return "unknown-account"
    if not account.enabled:
        return "account-disabled"
    if account.extra.get("installed") is False:
        return "channel-not-installed"
    return "" if account.configured else "channel-not-ready"  # nothing to connect it with


def trouble(route: Route, channel: Channel | None) -> dict[str, str] | None:
    """Return what keeps an account from sending, as a message that waits for it records it."""
    accounts = channel.status() if channel is not None else ()
    for account in accounts:
        if account.account_id == route.account_id and account.last_error:
            kind, _, detail = account.last_error.partition(": ")
            return {"class": kind, "code": "", "detail": detail}
    return None
