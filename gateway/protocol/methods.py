"""Every method that can be called: its scope, its params, what it changes (protocol.md §9, §10).

A method is advertised in `hello-ok` because it stands here, and a test proves that the
RPC room answers each one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from gateway.protocol.errors import Code, Refusal, WireError
from gateway.protocol.frames import Count, Instant, NonEmpty, paths, reasons

LONGEST_WAIT_MS: Final = 2_147_483_647  # what timers of other languages can hold: 24.8 days


class Scope(StrEnum):
    """What an operator may do (§9)."""

    READ = "operator.read"
    WRITE = "operator.write"
    ADMIN = "operator.admin"
    APPROVALS = "operator.approvals"
    PAIRING = "operator.pairing"
    TALK = "operator.talk"


_IMPLIED: Final[Mapping[Scope, frozenset[str]]] = {
    Scope.READ: frozenset({Scope.WRITE, Scope.ADMIN}),
    Scope.TALK: frozenset({Scope.WRITE, Scope.ADMIN}),
    Scope.WRITE: frozenset({Scope.ADMIN}),
    Scope.APPROVALS: frozenset({Scope.ADMIN}),
    Scope.PAIRING: frozenset({Scope.ADMIN}),
    Scope.ADMIN: frozenset(),
}


def allows(scopes: Collection[str], needed: Scope | None) -> bool:
    """Whether these scopes cover the needed one; write implies read, admin implies all."""
    if needed is None or needed in scopes:
        return True
    return any(scope in _IMPLIED[needed] for scope in scopes)


class Params(BaseModel):
    """Closed object; camelCase on the wire."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)

    def wire(self) -> dict[str, Any]:
        """What the caller sent, and nothing else."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class OpenParams(Params):
    """Open object: unknown keys are the caller's business (`wake`, `system-event`, a job)."""

    model_config = ConfigDict(extra="allow")


class Nothing(Params):
    """No params."""


class Mutation(Params):
    """Every mutating call may carry a key; a repeat returns the first answer (§8)."""

    idempotency_key: NonEmpty | None = None


class HealthParams(Params):
    """`health`."""

    probe: bool = False


class StatusParams(OpenParams):
    """`status`."""


class SystemEventParams(OpenParams):
    """`system-event`."""

    text: str = ""
    mode: str | None = None
    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    idempotency_key: NonEmpty | None = None


class WakeParams(OpenParams):
    """`wake`; ``wait``, ``timeoutMs`` and ``agentId`` are ours: the answer tells the outcome."""

    text: str = ""
    mode: Literal["now", "next-heartbeat"] = "next-heartbeat"
    session_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    wait: bool = False
    timeout_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 30_000
    idempotency_key: NonEmpty | None = None


class LastHeartbeatParams(Params):
    """`last-heartbeat`; ``agentId`` is ours."""

    agent_id: NonEmpty | None = None


class SetHeartbeatsParams(Mutation):
    """`set-heartbeats`; ``agentId`` is ours."""

    enabled: bool
    agent_id: NonEmpty | None = None


class HeartbeatHistoryParams(Params):
    """`heartbeat.history`."""

    agent_id: NonEmpty | None = None
    status: NonEmpty | None = None
    reason: NonEmpty | None = None
    since_ms: Instant | None = None
    until_ms: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    offset: Count = 0


class JobRef(Mutation):
    """`id` and the older `jobId` are interchangeable; both or neither is an error."""

    id: NonEmpty | None = None
    job_id: NonEmpty | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.id is None) == (self.job_id is None):
            raise ValueError("must have required property 'id'")
        return self

    @property
    def ref(self) -> str:
        """The job as the caller names it."""
        return self.id or self.job_id or ""


class CronListParams(Params):
    """`cron.list` (cron.md §14)."""

    include_disabled: bool | None = None
    enabled: Literal["all", "enabled", "disabled"] | None = None
    agent_id: NonEmpty | None = None
    query: str | None = None
    schedule_kind: Literal["all", "at", "every", "cron"] | None = None
    last_run_status: Literal["all", "ok", "error", "skipped", "unknown"] | None = None
    sort_by: Literal["nextRunAtMs", "updatedAtMs", "name"] | None = None
    sort_dir: Literal["asc", "desc"] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] | None = None
    offset: Count | None = None
    compact: bool | None = None
    include_delivery_previews: bool | None = None
    include_system: bool | None = None  # ours: heartbeats too (`cron list --all`)


class CronAddParams(OpenParams):
    """`cron.add`: a job without id and state; `jobs.edit` validates it (cron.md §17)."""

    idempotency_key: NonEmpty | None = None

    def wire(self) -> dict[str, Any]:
        """The job, without the key of the call."""
        job = super().wire()
        job.pop("idempotencyKey", None)
        return job


class CronImportParams(Mutation):
    """`cron.import` (cron.md §22-11): entries as `jobs.importing.report.Entry.to_json` says."""

    kind: NonEmpty
    entries: list[dict[str, Any]]
    dry_run: bool = False


class CronUpdateParams(JobRef):
    """`cron.update`."""

    patch: dict[str, Any]
    expected_config_revision: NonEmpty | None = None


class CronRemoveParams(JobRef):
    """`cron.remove`."""

    force: bool | None = None


class CronRunParams(JobRef):
    """`cron.run`."""

    mode: Literal["force", "due", "if-enabled"] = "force"
    expected_process_instance_id: str | None = None


class CronExplainParams(Params):
    """`cron.explain` (cron.md §14): an expression, or a job by its id."""

    expr: NonEmpty | None = None
    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    tz: NonEmpty | None = None
    other_tz: NonEmpty | None = None
    from_: Annotated[NonEmpty | Instant | None, Field(alias="from")] = None
    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    lang: Literal["en", "zh"] | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if sum(one is not None for one in (self.expr, self.id, self.job_id)) != 1:
            raise ValueError("exactly one of expr and id must be given")
        return self


class CronTimelineParams(Params):
    """`cron.timeline` (cron.md §22 row 10)."""

    from_ms: Instant | None = None
    hours: Annotated[int, Field(ge=1, le=336)] | None = None
    cell_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None


class CronRunsParams(Params):
    """`cron.runs` (cron.md §11.4)."""

    id: NonEmpty | None = None
    job_id: NonEmpty | None = None
    scope: Literal["job", "all"] | None = None
    run_id: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    status: NonEmpty | None = None
    statuses: list[NonEmpty] | None = None
    delivery_status: NonEmpty | None = None
    delivery_statuses: list[NonEmpty] | None = None
    reason: NonEmpty | None = None
    trigger: NonEmpty | None = None
    query: str | None = None
    since_ms: Instant | None = None
    until_ms: Instant | None = None
    sort_dir: Literal["asc", "desc"] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] | None = None
    offset: Count | None = None


class CronChosenParams(Mutation):
    """Jobs an operator means: one, those with a tag, or all (cron.md §22 row 5)."""

    id: NonEmpty | None = None
    tag: NonEmpty | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.id is not None) + (self.tag is not None) + self.all != 1:
            raise ValueError("exactly one of id, tag and all must be given")
        return self


class CronPauseParams(CronChosenParams):
    """`cron.pause`."""

    note: str | None = None
    until_ms: Instant | None = None


class CronSkipParams(JobRef):
    """`cron.skip`: the next slots are left out once."""

    count: Annotated[int, Field(ge=1, le=100)] = 1
    note: str | None = None
    undo: bool = False


class CronCancelParams(Mutation):
    """`cron.cancel`."""

    run_id: NonEmpty


class CronBackfillParams(JobRef):
    """`cron.backfill`: the slots of a range, oldest first."""

    from_ms: Instant
    to_ms: Instant
    policy: Literal["missing", "all"] = "missing"
    dry_run: bool = False


class AgentParams(Params):
    """`agent` (§10.4). Attachments and provenance are taken and not used yet."""

    message: NonEmpty
    idempotency_key: NonEmpty
    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    session_id: str | None = None
    to: str | None = None
    reply_to: str | None = None
    channel: str | None = None
    reply_channel: str | None = None
    account_id: str | None = None
    reply_account_id: str | None = None
    thread_id: str | None = None
    deliver: bool = False
    best_effort_deliver: bool = False
    thinking: str | None = None
    timeout: Annotated[float, Field(ge=0, le=LONGEST_WAIT_MS / 1000)] | None = None  # seconds
    provider: str | None = None
    model: str | None = None
    lane: str | None = None
    extra_system_prompt: str | None = None
    label: str | None = None
    attachments: list[Any] | None = None
    input_provenance: Any = None
    internal_events: Any = None
    group_id: str | None = None
    group_channel: str | None = None
    group_space: str | None = None
    spawned_by: str | None = None


class AgentWaitParams(Params):
    """`agent.wait`."""

    run_id: NonEmpty
    timeout_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 30_000


class SendParams(Params):
    """`send` (§10.5)."""

    to: NonEmpty
    idempotency_key: NonEmpty
    message: str | None = None
    media_url: str | None = None
    media_urls: list[str] | None = None
    channel: str | None = None
    account_id: str | None = None
    thread_id: str | None = None
    reply_to_id: str | None = None
    silent: bool | None = None
    gif_playback: bool | None = None
    session_key: str | None = None
    agent_id: str | None = None


class MessageActionParams(OpenParams):
    """`message.action`: what `message send` of newer command lines calls."""

    channel: NonEmpty
    action: NonEmpty
    params: dict[str, Any]
    idempotency_key: NonEmpty
    account_id: str | None = None
    session_key: str | None = None
    agent_id: str | None = None


class ChatSendParams(Params):
    """`chat.send` (§10.6)."""

    session_key: NonEmpty
    message: str
    idempotency_key: NonEmpty
    agent_id: NonEmpty | None = None
    thinking: str | None = None
    deliver: bool | None = None
    timeout_ms: Annotated[int, Field(ge=0, le=LONGEST_WAIT_MS)] | None = None
    attachments: list[Any] | None = None


class ChatHistoryParams(Params):
    """`chat.history`."""

    session_key: NonEmpty
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    max_chars: Annotated[int, Field(ge=1, le=2**31)] | None = None


class ChatAbortParams(Params):
    """`chat.abort`."""

    session_key: NonEmpty
    run_id: NonEmpty | None = None


class ChannelsStatusParams(Params):
    """`channels.status`."""

    probe: bool = False
    timeout_ms: Annotated[int, Field(ge=0, le=LONGEST_WAIT_MS)] | None = None
    channel: NonEmpty | None = None


class SessionsListParams(OpenParams):
    """`sessions.list`: filters of several versions, so the object is open."""

    limit: Annotated[int, Field(ge=1, le=2**31)] | None = None
    offset: Count | None = None
    active_minutes: Annotated[int, Field(ge=1, le=2**31)] | None = None
    search: str | None = None
    agent_id: NonEmpty | None = None


class ModelsListParams(OpenParams):
    """`models.list`."""

    view: Literal["default", "configured", "all"] | None = None
    agent_id: NonEmpty | None = None


class InboxListParams(Params):
    """`inbox.list` (ours)."""

    unseen: bool | None = None
    agent_id: NonEmpty | None = None
    after: NonEmpty | None = None  # id of the last message already read
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None


class InboxAckParams(Mutation):
    """`inbox.ack` (ours): these ids, or all."""

    ids: list[NonEmpty] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _ids_or_all(self) -> Self:
        if (self.ids is None) == (not self.all):
            raise ValueError("must have either property 'ids' or 'all'")
        return self


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the table."""

    name: str
    scope: Scope | None  # None: any authenticated connection
    params: type[Params]
    before_ready: bool = False  # answers while the engine is still starting or already leaving
    at_once: bool = False  # never waits for anything slow: saves a task per call


_READ, _WRITE, _ADMIN = Scope.READ, Scope.WRITE, Scope.ADMIN
METHODS: Final[Mapping[str, Method]] = {
    method.name: method
    for method in (
        Method("health", None, HealthParams, before_ready=True, at_once=True),
        Method("status", _READ, StatusParams, before_ready=True),
        Method("system-presence", _READ, Nothing, before_ready=True, at_once=True),
        Method("system-event", _ADMIN, SystemEventParams),
        Method("wake", _WRITE, WakeParams),
        Method("last-heartbeat", _READ, LastHeartbeatParams, at_once=True),
        Method("set-heartbeats", _ADMIN, SetHeartbeatsParams),
        Method("heartbeat.list", _READ, Nothing),
        Method("heartbeat.history", _READ, HeartbeatHistoryParams),
        Method("cron.status", _READ, Nothing, at_once=True),
        Method("cron.list", _READ, CronListParams),
        Method("cron.get", _READ, JobRef),
        Method("cron.add", _ADMIN, CronAddParams),
        Method("cron.import", _ADMIN, CronImportParams),
        Method("cron.update", _ADMIN, CronUpdateParams),
        Method("cron.remove", _ADMIN, CronRemoveParams),
        Method("cron.run", _ADMIN, CronRunParams),
        Method("cron.runs", _READ, CronRunsParams),
        Method("cron.explain", _READ, CronExplainParams),
        Method("cron.timeline", _READ, CronTimelineParams),
        Method("cron.pause", _ADMIN, CronPauseParams),
        Method("cron.resume", _ADMIN, CronChosenParams),
        Method("cron.skip", _ADMIN, CronSkipParams),
        Method("cron.cancel", _ADMIN, CronCancelParams),
        Method("cron.backfill", _ADMIN, CronBackfillParams),
        Method("agent", _WRITE, AgentParams),
        Method("agent.wait", _WRITE, AgentWaitParams),
        Method("agents.list", _READ, Nothing, at_once=True),
        Method("models.list", _READ, ModelsListParams, at_once=True),
        Method("send", _WRITE, SendParams),
        Method("message.action", _WRITE, MessageActionParams),
        Method("chat.send", _WRITE, ChatSendParams),
        Method("chat.history", _READ, ChatHistoryParams),
        Method("chat.abort", _WRITE, ChatAbortParams),
        Method("sessions.list", _READ, SessionsListParams),
        Method("channels.status", _READ, ChannelsStatusParams),
        Method("inbox.list", _READ, InboxListParams),
        Method("inbox.ack", _WRITE, InboxAckParams),
        Method("config.get", _READ, Nothing),
    )
}

# Event → scope; None is everyone. A name that is not here reaches admins only (§7.1).
EVENTS: Final[Mapping[str, Scope | None]] = {
    "agent": _READ,
    "chat": _READ,
    "cron": _READ,
    "presence": _READ,  # wire 3: everyone (§13)
    "tick": None,
    "health": None,
    "heartbeat": None,
    "shutdown": None,
}
DROPPABLE: Final = frozenset({"tick", "presence", "heartbeat", "cron"})


def parse_params(method: Method, raw: object) -> Params:
    """Check params, or refuse with the words clients match on (§2.1)."""
    try:
        return method.params.model_validate({} if raw is None else raw)
    except ValidationError as error:
        message = f"invalid {method.name} params: {reasons(error)}"
        raise Refusal(
            WireError(Code.INVALID_REQUEST, message, {"path": paths(error)[0]})
        ) from error
