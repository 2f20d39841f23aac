"""What the methods about conversations take (protocol.md §10.6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from gateway.protocol.frames import NonEmpty
from gateway.protocol.params import LONGEST_WAIT_MS, Mutation, OpenParams, Params


class ChatInjectParams(Mutation):
    """`chat.inject`: a note of the assistant, without a turn."""

    session_key: NonEmpty
    message: NonEmpty
    label: Annotated[str, Field(max_length=100)] | None = None


class SessionsPreviewParams(Params):
    """`sessions.preview`."""

    keys: Annotated[list[NonEmpty], Field(max_length=200)]
    limit: Annotated[int, Field(ge=1, le=200)] = 12
    max_chars: Annotated[int, Field(ge=20, le=100_000)] = 240


class SessionRef(Params):
    """`sessions.describe`, and what is subscribed to."""

    key: NonEmpty


class SessionPatchParams(Mutation):
    """`sessions.patch`: the model of its turns; null takes it back."""

    key: NonEmpty
    model: NonEmpty | None = None


class SessionResetParams(Mutation):
    """`sessions.reset`."""

    key: NonEmpty
    reason: Literal["new", "reset"] | None = None


class SessionDeleteParams(Mutation):
    """`sessions.delete`; what was said goes with it, always."""

    key: NonEmpty
    delete_transcript: bool = True
    emit_lifecycle_hooks: bool | None = None


class SessionCompactParams(Mutation):
    """`sessions.compact`: the newest lines stay."""

    key: NonEmpty
    max_lines: Annotated[int, Field(ge=1, le=100_000)] = 200


class SessionCreateParams(Mutation):
    """`sessions.create`; with a message its first turn begins."""

    key: NonEmpty | None = None
    agent_id: NonEmpty | None = None
    model: NonEmpty | None = None
    message: NonEmpty | None = None


class SessionSendParams(Mutation):
    """`sessions.send`: `chat.send` with the names of this family."""

    key: NonEmpty
    message: str
    thinking: str | None = None
    attachments: list[Any] | None = None
    timeout_ms: Annotated[int, Field(ge=0, le=LONGEST_WAIT_MS)] | None = None


class SessionAbortParams(Mutation):
    """`sessions.abort`."""

    key: NonEmpty
    run_id: NonEmpty | None = None


class SubscribeParams(OpenParams):
    """`sessions.subscribe` and `sessions.unsubscribe`."""
