"""What the methods of an operator take: config, logs, agents, tools, nodes (protocol.md §10)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.protocol.frames import Count, NonEmpty
from gateway.protocol.params import Mutation, OpenParams, Params


class LogsTailParams(Params):
    """`logs.tail`; without a cursor the newest lines."""

    cursor: Count | None = None  # byte offset of an earlier answer
    limit: Annotated[int, Field(ge=1, le=5000)] = 500
    max_bytes: Annotated[int, Field(ge=1, le=1_000_000)] = 250_000
    mark: Count | None = None  # of an earlier answer: no line is lost when the file turns


class Anything(OpenParams):
    """Params of several versions, none of which changes the answer."""


class RestartParams(OpenParams):
    """`gateway.restart.request`; a session that is named is told when it is back."""

    reason: str | None = None
    session_key: NonEmpty | None = None
    delivery_context: dict[str, Any] | None = None
    note: str | None = None
    restart_delay_ms: Count | None = None
    idempotency_key: NonEmpty | None = None


class SuspendPrepareParams(Mutation):
    """`gateway.suspend.prepare`; there are no terminals here whose policy would matter."""

    request_id: Annotated[str, Field(min_length=1, max_length=128)]
    terminal_policy: Any = None
    drain: bool | None = None


class SuspendRef(Mutation):
    """`gateway.suspend.resume`."""

    suspension_id: NonEmpty


class SuspendStatusParams(Params):
    """`gateway.suspend.status`; without an id, of whatever lease there is."""

    suspension_id: NonEmpty | None = None


class EventsSinceParams(Params):
    """`events.since`; without a cursor nothing is replayed."""

    cursor: Count | None = None
    kinds: list[Literal["heartbeat", "cron"]] | None = None


class ConfigSetParams(Mutation):
    """`config.set`: the whole file."""

    raw: str
    base_hash: NonEmpty | None = None


class ConfigApplyParams(ConfigSetParams):
    """`config.apply`; whom to tell after a restart is taken and not used: none is needed."""

    session_key: str | None = None
    delivery_context: Any = None
    note: str | None = None
    restart_delay_ms: Count | None = None


class ConfigPatchParams(ConfigApplyParams):
    """`config.patch`: ``raw`` is a JSON merge patch."""

    replace_paths: list[NonEmpty] | None = None  # objects replaced whole, not merged


class SchemaLookupParams(Params):
    """`config.schema.lookup`."""

    path: str


class AgentCreateParams(Mutation):
    """`agents.create`."""

    name: NonEmpty
    workspace: NonEmpty | None = None
    model: NonEmpty | None = None
    emoji: NonEmpty | None = None
    avatar: NonEmpty | None = None


class AgentUpdateParams(Mutation):
    """`agents.update`: what is given is set, the rest stays."""

    agent_id: NonEmpty
    name: NonEmpty | None = None
    workspace: NonEmpty | None = None
    model: NonEmpty | None = None
    emoji: NonEmpty | None = None
    avatar: NonEmpty | None = None


class AgentDeleteParams(Mutation):
    """`agents.delete`."""

    agent_id: NonEmpty
    delete_files: bool = False


class AgentIdentityParams(Params):
    """`agent.identity.get`."""

    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None


class ToolsParams(OpenParams):
    """`tools.catalog` and `tools.effective`."""

    agent_id: NonEmpty | None = None
    session_key: NonEmpty | None = None


class ToolInvokeParams(Mutation):
    """`tools.invoke`."""

    name: NonEmpty
    args: dict[str, Any] = Field(default_factory=dict)
    session_key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    dry_run: bool = False


class ChannelRef(Mutation):
    """`channels.start`, `channels.stop` and `channels.logout`."""

    channel: NonEmpty
    account_id: NonEmpty | None = None


class PollParams(OpenParams):
    """`poll`."""

    to: NonEmpty
    idempotency_key: NonEmpty
    question: NonEmpty
    channel: str | None = None


class TasksListParams(OpenParams):
    """`tasks.list`: runs as tasks."""

    status: str | list[str] | None = None
    agent_id: NonEmpty | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: str | None = None


class TaskRef(Params):
    """`tasks.get`."""

    task_id: NonEmpty


class TaskCancelParams(Mutation):
    """`tasks.cancel`."""

    task_id: NonEmpty
    reason: str | None = None


class NodeRef(Params):
    """`node.describe`."""

    node_id: NonEmpty


class NodeRenameParams(NodeRef, Mutation):
    """`node.rename`."""

    display_name: NonEmpty


class NodeInvokeParams(Params):
    """`node.invoke`."""

    node_id: NonEmpty
    command: NonEmpty
    idempotency_key: NonEmpty
    params: Any = None
    timeout_ms: Count | None = None


class NodeEventParams(OpenParams):
    """`node.event`."""

    event: NonEmpty
    payload: Any = None


Reset = Literal["new", "reset"]
