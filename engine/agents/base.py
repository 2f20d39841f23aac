"""The promises of an agent: a prompt and tools in, words and usage out.

An agent never touches the store or a channel. What it may do it does through the
tools it was handed; what it says goes back to the caller, who classifies and delivers.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from engine.agents.secrets import masked
from engine.messages.media import Media
from engine.sessions import Message as Message  # a conversation's word, spoken here too
from jobs.ledger import Usage
from jobs.retry import TRANSIENT
from jobs.values import changed, swift

Sleep = Callable[[timedelta], Awaitable[None]]


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One thing an agent may do in a turn. ``parameters`` is JSON Schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[Mapping[str, Any]], Awaitable[str]]  # may raise ToolRefused
    side_effects: bool = False
    ends_turn: bool = False  # a call that is accepted is the answer; nothing is asked after it
    harmless: Tool | None = None  # what is left of it where nothing may be changed
    asking: Tool | None = None  # the same, but a person is asked before anything is


class ToolRefused(Exception):
    """The tool will not do that; the text is told to the agent, the turn goes on."""


@swift
@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """Everything an agent gets for one turn."""

    run_id: str
    agent_id: str
    session_key: str
    kind: str  # heartbeat | cron | chat
    prompt: str
    system_prompt: str = ""
    history: Sequence[Message] = ()
    tools: Sequence[Tool] = ()
    model: str | None = None  # provider/model; None: whatever the agent is
    thinking: str | None = None
    workspace: Path | None = None
    now: datetime
    images: tuple[Media, ...] = ()  # files that came with the prompt
    facts: Mapping[str, Any] = field(default_factory=dict)  # checklist, events: for `offline`


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool the agent used, for the record."""

    name: str
    arguments: Mapping[str, Any]
    result: str = ""
    failed: bool = False


def watched(tool: Tool, touched: list[str]) -> Tool:
    """Return the tool, which notes in ``touched`` when it is about to change something."""
    if not tool.side_effects:
        return tool

    async def call(arguments: Mapping[str, Any]) -> str:
        touched.append(tool.name)
        return await tool.call(arguments)

    return changed(tool, call=call)


_MOST: Final = 1_000_000  # characters of all arguments of a call


def _unfit(arguments: Mapping[str, Any]) -> str:
    """Return what makes a call one that no tool should see: models write anything."""
    try:
        size = len(json.dumps(dict(arguments), ensure_ascii=False, default=str).encode())
    except UnicodeEncodeError:
        return "a text in the arguments has half a character"
    except (ValueError, RecursionError):
        return "the arguments are no plain object"
    return f"the arguments have {size} bytes; the most is {_MOST}" if size > _MOST else ""


def storable(text: str) -> str:
    """Return the text as every store and platform takes it: no half characters, no zero bytes."""
    return text.replace("\0", "").encode(errors="replace").decode()


async def use_tool(tools: Sequence[Tool], name: str, arguments: Mapping[str, Any]) -> ToolCall:
    """Use a tool and keep what came of it; a refusal is a result, not an end."""
    tool = next((one for one in tools if one.name == name), None)
    if tool is None:
        known = ", ".join(one.name for one in tools) or "none"
        words = f"there is no tool {name!r}; tools: {known}"
        return ToolCall(name=name, arguments=arguments, result=words, failed=True)
    if words := _unfit(arguments):
        return ToolCall(name=name, arguments={}, result=words, failed=True)
    try:
        result = await tool.call(arguments)
    except ToolRefused as refusal:
        return ToolCall(name=name, arguments=arguments, result=str(refusal), failed=True)
    except OSError as error:  # a name the disk cannot have, a disk that is full
        words = f"that did not work: {error.strerror or error}"
        return ToolCall(name=name, arguments=arguments, result=words, failed=True)
    return ToolCall(name=name, arguments=arguments, result=result)


_KEPT: Final = 500  # characters of a call's arguments, and of its result


def used(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """Return the tools an agent used, as a row keeps them: shortened, without secrets."""
    return [
        {
            "name": call.name,
            "arguments": masked(json.dumps(dict(call.arguments), ensure_ascii=False, default=str))[
                :_KEPT
            ],
            **({"refused": masked(call.result)[:_KEPT]} if call.failed else {}),
        }
        for call in calls
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnReply:
    """What an agent answered. ``payloads`` are its messages in order; the last is the answer."""

    payloads: tuple[str, ...]
    reasoning: str | None = None
    usage: Usage | None = None
    model: str | None = None
    provider: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    attempts: tuple[Mapping[str, Any], ...] = ()  # failed candidates before this one
    remark: str = ""  # what was wished for and did not reach the model

    @property
    def text(self) -> str:
        """The last payload, or nothing."""
        return self.payloads[-1] if self.payloads else ""


class FailureClass(StrEnum):
    """Why a turn failed (cron.md §9.3, heartbeat.md §13 point 6)."""

    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    NETWORK = "network"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    AUTH = "auth"
    BILLING = "billing"
    MODEL_NOT_FOUND = "model_not_found"
    INVALID = "invalid"
    INTERNAL = "internal"

    @property
    def transient(self) -> bool:
        """It may go better in a while without anybody acting."""
        return self.value in TRANSIENT


class AgentFailure(Exception):
    """A turn that did not answer. The message holds no secret."""

    def __init__(
        self,
        failure: FailureClass,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        attempts: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.attempts = attempts


class Agent(Protocol):
    """Anything that answers a turn. Safe to call concurrently; cancellation ends the turn."""

    async def answer(self, request: TurnRequest) -> TurnReply:
        """Answer, or raise `AgentFailure`."""
