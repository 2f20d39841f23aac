"""What callers of the OpenAI-shaped endpoints send, and what it amounts to (protocol.md §11).

Open objects: sampling settings and the like are the agent's own business here and are passed
over. What would change the meaning of an answer and cannot be done is refused by name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.protocol.frames import reasons

_TARGET: Final = re.compile(
    r"(?:openclaw|engine)(?:[/:](?P<id>[a-z0-9][a-z0-9_-]{0,63}))?"
    r"|agent:(?P<agent>[a-z0-9][a-z0-9_-]{0,63})",
    re.IGNORECASE,
)
_SAFE_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_SYSTEM: Final = frozenset({"system", "developer"})


class HttpFault(Exception):
    """A request that is answered with an error object, as OpenAI's own server words it."""

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = "invalid_request_error",
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.error: dict[str, Any] = {"message": message, "type": kind}
        if code is not None:
            self.error["code"] = code
        if param is not None:
            self.error["param"] = param


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a conversation as the caller tells it."""

    role: str  # user | assistant
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a request amounts to: what to answer, and what was said before it."""

    text: str
    earlier: tuple[Line, ...] = ()
    system: str | None = None


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ChatMessage(_Open):
    """One of `messages`, or one item of `input`."""

    role: str | None = None
    content: str | list[Any] | None = None
    type: str | None = None


class StreamOptions(_Open):
    """`stream_options`."""

    include_usage: bool = False


class ChatRequest(_Open):
    """POST /v1/chat/completions."""

    model: str = "openclaw"
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    n: int | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None


class ResponsesRequest(_Open):
    """POST /v1/responses."""

    model: str = "openclaw"
    input: str | list[ChatMessage]
    instructions: str | None = None
    stream: bool | None = None
    user: str | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    max_output_tokens: int | None = Field(default=None, gt=0)
    background: bool | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    metadata: dict[str, Any] | None = None


class EmbeddingsRequest(_Open):
    """POST /v1/embeddings."""

    model: str = Field(min_length=1)
    input: str | list[str] | list[int] | list[list[int]]
    dimensions: int | None = Field(default=None, gt=0)
    encoding_format: Literal["float", "base64"] = "float"


class InvokeRequest(BaseModel):
    """POST /tools/invoke."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tool: str = Field(min_length=1)
    action: str | None = None
    args: dict[str, Any] = Field(default_factory=dict)
    sessionKey: str | None = None
    dryRun: bool = False


R = TypeVar("R", bound=BaseModel)


def parsed(model: type[R], raw: object) -> R:
    """Check a body, or refuse with the place and the reason."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        place = str(error.errors(include_url=False)[0]["loc"][:1] or ("body",))
        param = re.sub(r"[^A-Za-z_]", "", place) or None
        raise HttpFault(400, f"invalid request: {reasons(error)}", param=param) from error


def target_of(model: str) -> str | None:
    """The agent a model's name means; None is the default one."""
    found = _TARGET.fullmatch(model.strip())
    if found is None:
        raise HttpFault(
            400,
            f"model {model[:80]!r} is no agent; use openclaw, engine, or engine/<agentId>"
            " (GET /v1/models lists them)",
            code="invalid_model",
            param="model",
        )
    name = found["id"] or found["agent"]
    return None if name is None or name.lower() == "default" else name.lower()


def user_key(user: str) -> str:
    """The part of a session key that stands for a caller's `user`; odd names by their digest."""
    if _SAFE_USER.fullmatch(user):
        return user
    return hashlib.sha256(user.encode()).hexdigest()[:32]


def conversation(
    messages: Sequence[ChatMessage], *, field: str, instructions: str | None = None
) -> Said:
    """What is to be answered: the last user message and the tool results behind it."""
    system = [instructions] if instructions else []
    lines: list[Line] = []
    for number, message in enumerate(messages):
        text = _text(message, f"{field}[{number}]")
        match message.role:
            case role if role in _SYSTEM:
                system.append(text)
            case "user" | "assistant" as role:
                lines.append(Line(role=role, text=text))
            case "tool" | "function":
                lines.append(Line(role="user", text=f"Result of a tool:\n{text}"))
            case _:
                known = "system, developer, user, assistant or tool"
                what = f"{field}[{number}].role is {message.role!r}, not {known}"
                raise HttpFault(400, what, param=field)
    last = next((n for n in range(len(lines) - 1, -1, -1) if lines[n].role == "user"), None)
    if last is None or not lines[last].text.strip():
        raise HttpFault(400, f"Missing user message in `{field}`.", param=field)
    return Said(
        text=lines[last].text,
        earlier=tuple(line for line in lines[:last] if line.text),
        system="\n\n".join(part for part in system if part) or None,
    )


def _text(message: ChatMessage, place: str) -> str:
    if message.type not in (None, "message"):
        raise HttpFault(
            400, f"{place} is a {message.type}, and only messages are taken here", param=place
        )
    if not isinstance(message.content, list):
        return message.content or ""
    parts = []
    for part in message.content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("text") if isinstance(part, Mapping) else None
        if kind not in _TEXT_PARTS or not isinstance(text, str):
            what = f"{place} holds a part of type {kind!r}, and only text is taken here"
            raise HttpFault(400, what, code="unsupported_content", param=place)
        parts.append(text)
    return "\n".join(parts)


def refuse_tools(tools: Sequence[Any] | None, choice: object) -> None:
    """An agent has its own tools; calls handed back to the caller are not made here."""
    if tools and choice != "none":
        raise HttpFault(
            400,
            "tools of the caller are not run here: the agent uses its own (GET it with"
            " tools.effective). Leave `tools` out",
            code="unsupported_parameter",
            param="tools",
        )
