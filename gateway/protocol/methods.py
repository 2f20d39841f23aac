"""Every method that can be called: its scope, its params, what it changes (protocol.md §9, §10).

A method is advertised in `hello-ok` because it stands here, and a test proves that the
RPC room answers each one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from gateway.protocol import (
    admin_params as admin,
    cron_params as cron,
    device_params as device,
    params,
    session_params as session,
)
from gateway.protocol.errors import Code, Refusal, WireError
from gateway.protocol.frames import paths, reasons
from gateway.protocol.params import Nothing, Params


class Scope(StrEnum):
    """What an operator may do (§9)."""

    READ = "operator.read"
    WRITE = "operator.write"
    ADMIN = "operator.admin"
    APPROVALS = "operator.approvals"
    PAIRING = "operator.pairing"
    TALK = "operator.talk"
    TALK_SECRETS = "operator.talk.secrets"
    QUESTIONS = "operator.questions"
    SESSIONS_READ = "operator.sessions.read"
    SESSIONS_WRITE = "operator.sessions.write"


_IMPLIED: Final[Mapping[Scope, frozenset[str]]] = {
    Scope.READ: frozenset({Scope.WRITE, Scope.ADMIN}),
    Scope.TALK: frozenset({Scope.WRITE, Scope.ADMIN}),
    Scope.WRITE: frozenset({Scope.ADMIN}),
    Scope.APPROVALS: frozenset({Scope.ADMIN}),
    Scope.PAIRING: frozenset({Scope.ADMIN}),
    Scope.TALK_SECRETS: frozenset({Scope.ADMIN}),
    Scope.QUESTIONS: frozenset({Scope.ADMIN}),
    Scope.SESSIONS_READ: frozenset({Scope.READ, Scope.WRITE, Scope.ADMIN}),
    Scope.SESSIONS_WRITE: frozenset({Scope.WRITE, Scope.ADMIN}),
    Scope.ADMIN: frozenset(),
}


def allows(scopes: Collection[str], needed: Scope | None) -> bool:
    """Whether these scopes cover the needed one; write implies read, admin implies all."""
    if needed is None or needed in scopes:
        return True
    return any(scope in _IMPLIED[needed] for scope in scopes)


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table."""

    name: str
    scope: Scope | None  # None: any authenticated connection
    params: type[Params]
    before_ready: bool = False  # answers while the engine is still starting or already leaving
    while_suspended: bool = False  # answers while a host holds the gateway
    least: int = 3  # the wire version that has it (§13)


_READ, _WRITE, _ADMIN, _PAIRING = Scope.READ, Scope.WRITE, Scope.ADMIN, Scope.PAIRING
_APPROVALS: Final = Scope.APPROVALS
METHODS: Final[Mapping[str, Method]] = {
    method.name: method
    for method in (
        Method("health", None, params.HealthParams, before_ready=True),
        Method("gateway.schema", _READ, params.SchemaParams, before_ready=True),
        Method("events.since", _READ, admin.EventsSinceParams),
        Method("status", _READ, params.StatusParams, before_ready=True),
        Method("system-presence", _READ, Nothing, before_ready=True),
        Method("system-event", _ADMIN, params.SystemEventParams),
        Method("wake", _WRITE, params.WakeParams),
        Method("last-heartbeat", _READ, params.LastHeartbeatParams),
        Method("set-heartbeats", _ADMIN, params.SetHeartbeatsParams),
        Method("heartbeat.pause", _ADMIN, params.HeartbeatPauseParams),
        Method("heartbeat.resume", _ADMIN, params.HeartbeatResumeParams),
        Method("heartbeat.list", _READ, Nothing),
        Method("heartbeat.history", _READ, params.HeartbeatHistoryParams),
        Method("heartbeat.events", _READ, params.HeartbeatEventsParams),
        Method("heartbeat.cost", _READ, params.HeartbeatCostParams),
        Method("heartbeat.next", _READ, params.HeartbeatNextParams),
        Method("heartbeat.replay", _READ, params.HeartbeatReplayParams),
        Method("heartbeat.explain", _READ, params.HeartbeatExplainParams),
        Method("heartbeat.tasks", _WRITE, params.HeartbeatTasksParams),
        Method("heartbeat.run", _WRITE, params.HeartbeatRunParams),
        Method("heartbeat.test", _WRITE, params.HeartbeatTestParams),
        Method("cron.status", _READ, Nothing),
        Method("cron.list", _READ, cron.CronListParams),
        Method("cron.get", _READ, cron.CronGetParams),
        Method("cron.add", _ADMIN, cron.CronAddParams),
        Method("cron.import", _ADMIN, cron.CronImportParams),
        Method("cron.update", _ADMIN, cron.CronUpdateParams),
        Method("cron.remove", _ADMIN, cron.CronRemoveParams),
        Method("cron.run", _ADMIN, cron.CronRunParams),
        Method("cron.runs", _READ, cron.CronRunsParams),
        Method("cron.explain", _READ, cron.CronExplainParams),
        Method("cron.timeline", _READ, cron.CronTimelineParams),
        Method("cron.next", _READ, cron.CronNextParams),
        Method("cron.audit", _READ, cron.CronAuditParams),
        Method("cron.plan", _READ, Nothing),
        Method("cron.simulate", _WRITE, cron.CronSimulateParams),
        Method("cron.pause", _ADMIN, cron.CronPauseParams),
        Method("cron.resume", _ADMIN, cron.CronChosenParams),
        Method("cron.skip", _ADMIN, cron.CronSkipParams),
        Method("cron.adopt", _ADMIN, cron.JobRef),
        Method("cron.cancel", _ADMIN, cron.CronCancelParams),
        Method("cron.backfill", _ADMIN, cron.CronBackfillParams),
        Method("agent", _WRITE, params.AgentParams),
        Method("agent.wait", _WRITE, params.AgentWaitParams),
        Method("agents.list", _READ, Nothing),
        Method("models.list", _READ, params.ModelsListParams),
        Method("send", _WRITE, params.SendParams),
        Method("message.action", _WRITE, params.MessageActionParams),
        Method("chat.send", _WRITE, params.ChatSendParams),
        Method("chat.history", _READ, params.ChatHistoryParams),
        Method("chat.abort", _WRITE, params.ChatAbortParams),
        Method("sessions.list", _READ, params.SessionsListParams),
        Method("channels.status", _READ, params.ChannelsStatusParams),
        Method("channels.routes", _READ, params.ChannelsRoutesParams),
        Method("channels.sendTest", _WRITE, params.HeartbeatTestParams),
        Method("exec.approval.list", _APPROVALS, params.ApprovalListParams),
        Method("exec.approval.resolve", _APPROVALS, params.ApprovalResolveParams),
        Method("pairing.list", _PAIRING, params.PairingListParams),
        Method("pairing.approve", _PAIRING, params.PairingRef),
        Method("pairing.reject", _PAIRING, params.PairingRef),
        Method("device.pair.list", _PAIRING, Nothing),
        Method("device.pair.approve", _PAIRING, device.DeviceRequestRef),
        Method("device.pair.reject", _PAIRING, device.DeviceRequestRef),
        Method("device.pair.remove", _PAIRING, device.DeviceRef),
        Method("device.token.rotate", _PAIRING, device.DeviceTokenRotateParams),
        Method("device.token.revoke", _PAIRING, device.DeviceTokenRef),
        Method("inbox.list", _READ, params.InboxListParams),
        Method("inbox.ack", _WRITE, params.InboxAckParams),
        Method("heartbeat.inbox", _READ, params.KeptListParams),
        Method("heartbeat.inbox.show", _READ, params.KeptRef),
        Method("heartbeat.inbox.ack", _WRITE, params.KeptAckParams),
        Method("heartbeat.inbox.snooze", _WRITE, params.KeptSnoozeParams),
        Method("heartbeat.inbox.mute", _WRITE, params.KeptMuteParams),
        Method("heartbeat.inbox.resend", _WRITE, params.KeptResendParams),
        Method("heartbeat.feedback", _WRITE, params.FeedbackParams),
        Method("heartbeat.inbox.purge", _ADMIN, params.KeptPurgeParams),
        Method("outbox.list", _READ, params.OutboxListParams),
        Method("outbox.show", _READ, params.OutboxRef),
        Method("outbox.retry", _ADMIN, params.OutboxChangeParams),
        Method("outbox.cancel", _ADMIN, params.OutboxChangeParams),
        Method("outbox.purge", _ADMIN, params.OutboxPurgeParams),
        Method("config.get", _READ, Nothing),
        Method("config.schema", _READ, Nothing),
        Method("config.schema.lookup", _READ, admin.SchemaLookupParams),
        Method("config.set", _ADMIN, admin.ConfigSetParams),
        Method("config.apply", _ADMIN, admin.ConfigApplyParams),
        Method("config.patch", _ADMIN, admin.ConfigPatchParams),
        Method("config.reload", _ADMIN, params.Mutation),
        Method("secrets.reload", _ADMIN, params.Mutation),
        Method("gateway.identity.get", _READ, Nothing),
        Method("logs.tail", _READ, admin.LogsTailParams, before_ready=True),
        Method("gateway.restart.preflight", _READ, admin.Anything),
        Method("gateway.restart.request", _ADMIN, admin.RestartParams),
        Method(
            "gateway.suspend.prepare",
            _ADMIN,
            admin.SuspendPrepareParams,
            while_suspended=True,
            least=4,
        ),
        Method(
            "gateway.suspend.status",
            _READ,
            admin.SuspendStatusParams,
            while_suspended=True,
            least=4,
        ),
        Method("gateway.suspend.resume", _ADMIN, admin.SuspendRef, while_suspended=True, least=4),
        Method("diagnostics.stability", _READ, admin.Anything),
        Method("usage.status", _READ, admin.Anything),
        Method("usage.cost", _READ, admin.Anything),
        Method("update.status", _ADMIN, admin.Anything),
        Method("models.authStatus", _READ, admin.Anything),
        Method("agents.create", _ADMIN, admin.AgentCreateParams),
        Method("agents.update", _ADMIN, admin.AgentUpdateParams),
        Method("agents.delete", _ADMIN, admin.AgentDeleteParams),
        Method("agent.identity.get", _READ, admin.AgentIdentityParams),
        Method("tools.catalog", _READ, admin.ToolsParams),
        Method("tools.effective", _READ, admin.ToolsParams),
        Method("tools.invoke", _WRITE, admin.ToolInvokeParams),
        Method("commands.list", _READ, admin.Anything),
        Method("skills.status", _READ, admin.Anything),
        Method("skills.search", _READ, admin.Anything),
        Method("skills.detail", _READ, admin.Anything),
        Method("artifacts.list", _READ, admin.Anything),
        Method("artifacts.get", _READ, admin.Anything),
        Method("tasks.list", _READ, admin.TasksListParams, least=4),
        Method("tasks.get", _READ, admin.TaskRef, least=4),
        Method("tasks.cancel", _WRITE, admin.TaskCancelParams, least=4),
        Method("poll", _WRITE, admin.PollParams),
        Method("channels.start", _ADMIN, admin.ChannelRef),
        Method("channels.stop", _ADMIN, admin.ChannelRef),
        Method("channels.logout", _ADMIN, admin.ChannelRef),
        Method("chat.inject", _ADMIN, session.ChatInjectParams),
        Method("sessions.preview", _READ, session.SessionsPreviewParams),
        Method("sessions.describe", _READ, session.SessionRef),
        Method("sessions.patch", _ADMIN, session.SessionPatchParams),
        Method("sessions.reset", _ADMIN, session.SessionResetParams),
        Method("sessions.delete", _ADMIN, session.SessionDeleteParams),
        Method("sessions.compact", _ADMIN, session.SessionCompactParams),
        Method("sessions.create", _WRITE, session.SessionCreateParams),
        Method("sessions.send", _WRITE, session.SessionSendParams),
        Method("sessions.abort", _WRITE, session.SessionAbortParams),
        Method("sessions.subscribe", _READ, session.SubscribeParams),
        Method("sessions.unsubscribe", _READ, session.SubscribeParams),
        Method("sessions.messages.subscribe", _READ, session.SessionRef),
        Method("sessions.messages.unsubscribe", _READ, session.SessionRef),
        Method("dashboard.open", _WRITE, params.Mutation, before_ready=True),
        Method("node.list", _READ, Nothing),
        Method("node.describe", _READ, admin.NodeRef),
        Method("node.rename", _PAIRING, admin.NodeRenameParams),
        Method("node.invoke", _WRITE, admin.NodeInvokeParams),
        Method("node.event", None, admin.NodeEventParams),  # of nodes: they hold no scopes
        Method("node.pending.pull", None, admin.Anything),
        Method("node.pending.drain", None, admin.Anything),
        Method("node.pending.ack", None, admin.Anything),
        Method("skills.bins", None, admin.Anything),
        Method("node.pair.list", _PAIRING, Nothing),
    )
}


def offered(name: str, protocol: int) -> Method | None:
    """The method of that name, if this wire version has it."""
    method = METHODS.get(name)
    return method if method is not None and method.least <= protocol else None


def names(protocol: int) -> list[str]:
    """What a connection of this version is offered."""
    return [method.name for method in METHODS.values() if method.least <= protocol]


# Event → scope; None is everyone. A name that is not here reaches admins only (§7.1).
EVENTS: Final[Mapping[str, Scope | None]] = {
    "agent": _READ,
    "chat": _READ,
    "cron": _READ,
    "sessions.changed": _READ,  # to who subscribed
    "session.message": _READ,
    "presence": _READ,  # wire 3: everyone (§13)
    "tick": None,
    "health": None,
    "heartbeat": None,
    "shutdown": None,
    "gateway.suspension": None,  # wire 4, as the two below (§7.1)
    "task": _READ,
    "config.changed": _READ,
    "device.pair.requested": _PAIRING,
    "device.pair.resolved": _PAIRING,
    "exec.approval.requested": _APPROVALS,
    "exec.approval.resolved": _APPROVALS,
}
NEWER: Final = frozenset({"gateway.suspension", "task", "config.changed"})


def events(protocol: int) -> list[str]:
    """What a connection of this version may hear of."""
    return [name for name in EVENTS if protocol >= 4 or name not in NEWER]


DROPPABLE: Final = frozenset(
    {
        "tick",
        "presence",
        "heartbeat",
        "cron",
        "task",
        "config.changed",
        "device.pair.requested",
        "device.pair.resolved",
    }
)


def parse_params(method: Method, raw: object) -> Params:
    """Check params, or refuse with the words clients match on (§2.1)."""
    try:
        return method.params.model_validate({} if raw is None else raw)
    except ValidationError as error:
        message = f"invalid {method.name} params: {reasons(error)}"
        raise Refusal(
            WireError(Code.INVALID_REQUEST, message, {"path": paths(error)[0]})
        ) from error
