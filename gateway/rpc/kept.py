"""`heartbeat.inbox*` and `outbox.*`: words that wait, or reached nobody (ours).

heartbeat.md §25 row 11, channels.md §11.
"""

from __future__ import annotations

from engine.decisions.hb import Word
from gateway.protocol.params import (
    FeedbackParams,
    KeptAckParams,
    KeptListParams,
    KeptMuteParams,
    KeptPurgeParams,
    KeptRef,
    KeptResendParams,
    KeptSnoozeParams,
    OutboxChangeParams,
    OutboxListParams,
    OutboxPurgeParams,
    OutboxRef,
)
from gateway.rpc.desk import Call, Desk
from jobs.wallclock import EPOCH, MILLISECOND


async def listing(desk: Desk, _: Call, params: KeptListParams) -> object:
    """`heartbeat.inbox`."""
    return await desk.core.kept.listing(params.wire())


async def show(desk: Desk, _: Call, params: KeptRef) -> object:
    """`heartbeat.inbox.show`."""
    return await desk.core.kept.show(params.id)


async def ack(desk: Desk, call: Call, params: KeptAckParams) -> object:
    """`heartbeat.inbox.ack`."""
    return await desk.core.kept.acknowledge(params.id, by=call.by)


async def snooze(desk: Desk, call: Call, params: KeptSnoozeParams) -> object:
    """`heartbeat.inbox.snooze`."""
    until = EPOCH + params.until_ms * MILLISECOND
    return await desk.core.kept.snooze(params.id, until, by=call.by)


async def mute(desk: Desk, call: Call, params: KeptMuteParams) -> object:
    """`heartbeat.inbox.mute`."""
    return await desk.core.kept.mute(params.id, on=params.on, by=call.by)


async def resend(desk: Desk, call: Call, params: KeptResendParams) -> object:
    """`heartbeat.inbox.resend`."""
    place = {"to": params.to, "account_id": params.account_id}
    return await desk.core.kept.resend(params.id, **place, by=call.by)


async def feedback(desk: Desk, call: Call, params: FeedbackParams) -> object:
    """`heartbeat.feedback`."""
    return await desk.core.kept.feedback(params.run_id, Word(params.verdict), by=call.by)


async def purge(desk: Desk, call: Call, params: KeptPurgeParams) -> object:
    """`heartbeat.inbox.purge`."""
    return await desk.core.kept.purge(_chosen(params), by=call.by)


async def messages(desk: Desk, _: Call, params: OutboxListParams) -> object:
    """`outbox.list`."""
    return await desk.core.messages.listing(params.wire())


async def message(desk: Desk, _: Call, params: OutboxRef) -> object:
    """`outbox.show`."""
    return await desk.core.messages.show(params.key)


async def retry(desk: Desk, call: Call, params: OutboxChangeParams) -> object:
    """`outbox.retry`."""
    return await desk.core.messages.retry(params.key, by=call.by)


async def cancel(desk: Desk, call: Call, params: OutboxChangeParams) -> object:
    """`outbox.cancel`."""
    return await desk.core.messages.cancel(params.key, by=call.by)


async def purge_messages(desk: Desk, call: Call, params: OutboxPurgeParams) -> object:
    """`outbox.purge`."""
    return await desk.core.messages.purge(_chosen(params), by=call.by)


def _chosen(params: KeptPurgeParams | OutboxPurgeParams) -> dict[str, object]:
    """Return which are chosen; the key of the call says nothing of that."""
    return {name: value for name, value in params.wire().items() if name != "idempotencyKey"}
