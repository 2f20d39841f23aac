"""Which function answers which method; a test proves it complete against the method table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.protocol.methods import Method
from gateway.protocol.params import Params
from gateway.rpc import (
    agent,
    approvals,
    channels,
    chat,
    config,
    cron,
    devices,
    heartbeat,
    kept,
    pairing,
    schema,
    system,
)
from gateway.rpc.desk import ANSWERED, Call, Desk, Handler

HANDLERS: Final[Mapping[str, Handler]] = {
    "health": system.health,
    "gateway.schema": schema.told,
    "status": system.status,
    "system-presence": system.presence,
    "system-event": system.system_event,
    "wake": system.wake,
    "last-heartbeat": heartbeat.last,
    "set-heartbeats": heartbeat.set_enabled,
    "heartbeat.pause": heartbeat.pause,
    "heartbeat.resume": heartbeat.resume,
    "heartbeat.list": heartbeat.listing,
    "heartbeat.history": heartbeat.history,
    "heartbeat.events": heartbeat.events,
    "heartbeat.cost": heartbeat.cost,
    "heartbeat.next": heartbeat.coming,
    "heartbeat.replay": heartbeat.replay,
    "heartbeat.explain": heartbeat.explain,
    "heartbeat.tasks": heartbeat.tasks,
    "heartbeat.run": heartbeat.run,
    "heartbeat.test": heartbeat.test,
    "cron.status": cron.status,
    "cron.list": cron.listing,
    "cron.get": cron.get,
    "cron.add": cron.add,
    "cron.import": cron.bring_in,
    "cron.update": cron.update,
    "cron.remove": cron.remove,
    "cron.run": cron.run,
    "cron.runs": cron.runs,
    "cron.explain": cron.explain,
    "cron.timeline": cron.timeline,
    "cron.next": cron.coming,
    "cron.audit": cron.audit,
    "cron.plan": cron.plan,
    "cron.simulate": cron.simulate,
    "cron.pause": cron.pause,
    "cron.resume": cron.resume,
    "cron.skip": cron.skip,
    "cron.adopt": cron.adopt,
    "cron.cancel": cron.cancel,
    "cron.backfill": cron.backfill,
    "agent": agent.agent,
    "agent.wait": agent.wait,
    "agents.list": agent.agents,
    "models.list": agent.models,
    "send": chat.send,
    "message.action": chat.message_action,
    "chat.send": chat.chat_send,
    "chat.history": chat.chat_history,
    "chat.abort": chat.chat_abort,
    "sessions.list": chat.sessions,
    "channels.status": channels.status,
    "channels.routes": channels.routes,
    "exec.approval.list": approvals.listing,
    "exec.approval.resolve": approvals.resolve,
    "pairing.list": pairing.listing,
    "pairing.approve": pairing.approve,
    "pairing.reject": pairing.reject,
    "device.pair.list": devices.listing,
    "device.pair.approve": devices.approve,
    "device.pair.reject": devices.reject,
    "device.pair.remove": devices.remove,
    "device.token.rotate": devices.rotate,
    "device.token.revoke": devices.revoke,
    "inbox.list": channels.inbox,
    "inbox.ack": channels.ack,
    "heartbeat.inbox": kept.listing,
    "heartbeat.inbox.show": kept.show,
    "heartbeat.inbox.ack": kept.ack,
    "heartbeat.inbox.snooze": kept.snooze,
    "heartbeat.inbox.mute": kept.mute,
    "heartbeat.inbox.resend": kept.resend,
    "heartbeat.feedback": kept.feedback,
    "heartbeat.inbox.purge": kept.purge,
    "outbox.list": kept.messages,
    "outbox.show": kept.message,
    "outbox.retry": kept.retry,
    "outbox.cancel": kept.cancel,
    "outbox.purge": kept.purge_messages,
    "config.get": config.get,
}
# Two-stage calls keep their own table: a repeat during the run is told `accepted` again.
_OWN_REPEATS: Final = frozenset({"agent", "chat.send"})


async def answer(desk: Desk, method: Method, call: Call, params: Params) -> object:
    """Run the handler, once per idempotency key (§8)."""
    handler = HANDLERS[method.name]
    key = getattr(params, "idempotency_key", None)
    if key is None or method.name in _OWN_REPEATS:
        return await handler(desk, call, params)

    async def work() -> object:
        return await handler(desk, call, params)

    return await desk.once.run(f"{method.name}:{key}", work)


__all__ = ["ANSWERED", "HANDLERS", "answer"]
