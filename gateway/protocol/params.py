"""What every method takes, as closed objects (protocol.md §9, §10). Jobs are in `cron_params`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from gateway.protocol.frames import Count, Instant, NonEmpty

LONGEST_WAIT_MS: Final = 2_147_483_647  # what timers of other languages can hold: 24.8 days


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


class SchemaParams(Params):
    """`gateway.schema` (ours): one method, or everything."""

    method: NonEmpty | None = None


class SystemEventParams(OpenParams):
    """`system-event`."""

    text: str = ""
    mode: Literal["now", "next-heartbeat"] | None = None
    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None
    context_key: NonEmpty | None = None
    dedupe_key: NonEmpty | None = None
    replace: bool = False
    idempotency_key: NonEmpty | None = None


class WakeParams(OpenParams):
    """`wake`; all but ``text``, ``mode`` and ``sessionKey`` is ours (heartbeat.md §15)."""

    text: str = ""
    mode: Literal["now", "next-heartbeat"] = "next-heartbeat"
    session_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    target: NonEmpty | None = None  # where the beat it causes tells its words; now only
    context_key: NonEmpty | None = None  # what it is about
    dedupe_key: NonEmpty | None = None  # one that waits with the same key is the same event
    replace: bool = False  # it takes the place of what waits about the same
    expires_in: NonEmpty | None = None  # a duration; not seen by then, it is told to nobody
    expect_reply: bool = False  # the beat it causes says something, even if all is well
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


class HeartbeatPauseParams(Mutation):
    """`heartbeat.pause`: all beats unless an agent is named; for good without ``untilMs``."""

    agent_id: NonEmpty | None = None
    note: str = ""
    until_ms: Instant | None = None


class HeartbeatResumeParams(Mutation):
    """`heartbeat.resume`: every pause unless an agent is named."""

    agent_id: NonEmpty | None = None


class HeartbeatCostParams(Params):
    """`heartbeat.cost`; of 30 days unless ``sinceMs`` says otherwise."""

    by: Literal["agent", "day", "model", "beat"] = "agent"
    agent_id: NonEmpty | None = None
    since_ms: Instant | None = None


class HeartbeatHistoryParams(Params):
    """`heartbeat.history`; with ``summary`` what they came to, not each of them."""

    agent_id: NonEmpty | None = None
    status: NonEmpty | None = None
    reason: NonEmpty | None = None
    since_ms: Instant | None = None
    until_ms: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    offset: Count = 0
    cursor: NonEmpty | None = None  # the `nextCursor` of the page before
    summary: bool = False


class HeartbeatNextParams(Params):
    """`heartbeat.next`; every agent unless one is named."""

    agent_id: NonEmpty | None = None
    count: Annotated[int, Field(ge=1, le=200)] = 10


class HeartbeatEventsParams(Params):
    """`heartbeat.events`; ``since`` is the ``seq`` of the last event the client has."""

    since: Annotated[int, Field(ge=0, le=2**53)] | None = None


class HeartbeatReplayParams(Params):
    """`heartbeat.replay`: one beat, by the id of its run."""

    run_id: NonEmpty


class HeartbeatExplainParams(Params):
    """`heartbeat.explain`; the default agent unless one is named, now unless ``atMs`` is given."""

    agent_id: NonEmpty | None = None
    at_ms: Instant | None = None


class HeartbeatTasksParams(Mutation):
    """`heartbeat.tasks`; ``run`` and ``skip`` name one task."""

    agent_id: NonEmpty | None = None
    run: NonEmpty | None = None
    skip: NonEmpty | None = None


class HeartbeatRunParams(Mutation):
    """`heartbeat.run`; ``dryRun`` keeps and sends nothing, without ``ask`` no model is asked."""

    agent_id: NonEmpty | None = None
    dry_run: bool = False
    ask: bool = True
    deliver: bool = True
    wait_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 0


class HeartbeatTestParams(Mutation):
    """`heartbeat.test`; ``timeoutMs`` is how long the receipt is waited for.

    With a channel or a recipient the message goes there instead of where an alert would.
    """

    agent_id: NonEmpty | None = None
    channel: NonEmpty | None = None
    to: NonEmpty | None = None
    account_id: NonEmpty | None = None
    thread_id: NonEmpty | None = None
    dry_run: bool = False
    timeout_ms: Annotated[int, Field(ge=1, le=600_000)] = 30_000


class AgentParams(Params):
    """`agent` (§10.4). Provenance is taken and not used yet."""

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
    dry_run: bool = False  # ours: say where it would go
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


class ChatAbortParams(Mutation):
    """`chat.abort`."""

    session_key: NonEmpty
    run_id: NonEmpty | None = None


class ChannelsStatusParams(Params):
    """`channels.status`."""

    probe: bool = False
    timeout_ms: Annotated[int, Field(ge=0, le=LONGEST_WAIT_MS)] | None = None
    channel: NonEmpty | None = None


class ChannelsRoutesParams(Params):
    """`channels.routes` (ours)."""

    agent_id: NonEmpty | None = None
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
    provider: NonEmpty | None = None
    agent_id: NonEmpty | None = None


class InboxListParams(Params):
    """`inbox.list` (ours)."""

    unseen: bool | None = None
    agent_id: NonEmpty | None = None
    after: NonEmpty | None = None  # id of the last message already read
    limit: Annotated[int, Field(ge=1, le=1000)] | None = None


class ApprovalListParams(Params):
    """`exec.approval.list`; ``all`` with those decided lately."""

    all: bool = False


class ApprovalResolveParams(Mutation):
    """`exec.approval.resolve`."""

    id: NonEmpty
    decision: Literal["allow-once", "deny"]


class PairingListParams(Params):
    """`pairing.list` (ours): all, or of one channel or account."""

    channel: str | None = None
    account_id: str | None = None


class PairingRef(Mutation):
    """`pairing.approve` and `pairing.reject` (ours)."""

    channel: NonEmpty
    code: NonEmpty


class InboxAckParams(Mutation):
    """`inbox.ack` (ours): these ids, or all."""

    ids: list[NonEmpty] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _ids_or_all(self) -> Self:
        if (self.ids is None) == (not self.all):
            raise ValueError("must have either property 'ids' or 'all'")
        return self


class KeptListParams(Params):
    """`heartbeat.inbox` (ours): what is open, unless a state is named."""

    agent_id: NonEmpty | None = None
    state: NonEmpty | None = None
    reason: NonEmpty | None = None
    since_ms: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    offset: Count = 0


class KeptRef(Params):
    """`heartbeat.inbox.show` (ours): a number, an id, or the run the words come from."""

    id: NonEmpty


class KeptAckParams(Mutation):
    """`heartbeat.inbox.ack` (ours): one, or all that are unread."""

    id: NonEmpty | None = None
    all: bool = False

    @model_validator(mode="after")
    def _id_or_all(self) -> Self:
        if (self.id is None) == (not self.all):
            raise ValueError("must have either property 'id' or 'all'")
        return self


class KeptSnoozeParams(Mutation):
    """`heartbeat.inbox.snooze` (ours)."""

    id: NonEmpty
    until_ms: Instant


class KeptMuteParams(Mutation):
    """`heartbeat.inbox.mute` (ours); ``on`` false takes it back."""

    id: NonEmpty
    on: bool = True


class KeptResendParams(Mutation):
    """`heartbeat.inbox.resend` (ours); ``to`` is a target such as `telegram:42`."""

    id: NonEmpty
    to: NonEmpty | None = None
    account_id: NonEmpty | None = None


class FeedbackParams(Mutation):
    """`heartbeat.feedback` (ours): what somebody thinks of a run's alert."""

    run_id: NonEmpty
    verdict: Literal["useful", "noise"]


class KeptPurgeParams(Mutation):
    """`heartbeat.inbox.purge` (ours): what nobody awaits any more, unless a state is named."""

    agent_id: NonEmpty | None = None
    state: NonEmpty | None = None
    reason: NonEmpty | None = None
    before_ms: Instant | None = None


class OutboxListParams(Params):
    """`outbox.list` (ours)."""

    agent_id: NonEmpty | None = None
    channel: NonEmpty | None = None
    state: NonEmpty | None = None
    since_ms: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    offset: Count = 0


class OutboxRef(Params):
    """`outbox.show` (ours)."""

    key: NonEmpty


class OutboxChangeParams(Mutation):
    """`outbox.retry` and `outbox.cancel` (ours)."""

    key: NonEmpty


class OutboxPurgeParams(Mutation):
    """`outbox.purge` (ours): ended messages, of 30 days ago and older unless told otherwise."""

    state: NonEmpty | None = None
    before_ms: Instant | None = None
