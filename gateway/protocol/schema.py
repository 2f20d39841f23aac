"""JSON Schema of everything that crosses the wire, out of the models that check it (§2, §14).

Requests, `connect` and params are what the gateway validates with; answers and events are
told as they are written, and a test holds what is written against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

from gateway.protocol import frames, handshake
from gateway.protocol.errors import Code
from gateway.protocol.methods import EVENTS, METHODS, Method
from jobs.errors import NotFound

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class _Told(BaseModel):
    """What the gateway writes; clients allow for more keys (§13)."""

    model_config = ConfigDict(extra="allow", alias_generator=to_camel)


class ErrorObject(_Told):
    """The `error` of an answer (§5)."""

    code: Code
    message: str
    details: dict[str, Any] | None = None
    retryable: bool | None = None
    retry_after_ms: int | None = None


class ResponseFrame(_Told):
    """An answer: `payload` when `ok`, else `error`; a failed turn has both (§8)."""

    type: Literal["res"]
    id: str
    ok: bool
    payload: Any = None
    error: ErrorObject | None = None


class EventFrame(_Told):
    """An event; `seq` counts what this connection was sent (§7)."""

    type: Literal["event"]
    event: str
    payload: Any = None
    seq: int | None = Field(default=None, ge=1)
    state_version: dict[str, int] | None = None


class Challenge(_Told):
    """The payload of `connect.challenge`, the first frame (§3)."""

    nonce: str
    ts: int = Field(ge=0)
    capabilities: list[str]


class HelloAuth(_Told):
    """What dispatch will enforce on this socket, and a device's token."""

    role: str
    scopes: list[str]
    method: str | None = None
    device_token: str | None = None
    issued_at_ms: int | None = None


class HelloOk(_Told):
    """The answer to `connect` (§3.2)."""

    type: Literal["hello-ok"]
    protocol: Literal[3, 4]
    server: dict[str, Any]
    features: dict[str, Any]
    snapshot: dict[str, Any]
    auth: HelloAuth
    policy: dict[str, int | dict[str, int]]


FRAMES: Final[Mapping[str, type[BaseModel]]] = {
    "request": frames.RequestFrame,
    "response": ResponseFrame,
    "event": EventFrame,
    "challenge": Challenge,
    "connect": handshake.Connect,
    "helloOk": HelloOk,
}


def of_frames() -> dict[str, Any]:
    """The frames and the handshake, by name, with what they share."""
    _, shared = models_json_schema(
        [(model, "validation") for model in FRAMES.values()],
        ref_template="#/$defs/{model}",
    )
    definitions = shared.get("$defs", {})
    return {
        "frames": {name: {"$ref": f"#/$defs/{_title(model)}"} for name, model in FRAMES.items()},
        "$defs": definitions,
    }


def whole() -> dict[str, Any]:
    """The whole protocol as one document."""
    return {
        "$schema": DIALECT,
        "protocol": list(handshake.VERSIONS),
        **of_frames(),
        "limits": {
            "maxPayloadBeforeHello": frames.MAX_FRAME_BEFORE_HELLO,
            "maxPayload": frames.MAX_FRAME,
            "maxBufferedBytes": frames.MAX_BUFFERED,
            "tickIntervalMs": frames.TICK_INTERVAL_MS,
        },
        "methods": {name: _method(method) for name, method in METHODS.items()},
        "events": {name: {"scope": scope} for name, scope in EVENTS.items()},
    }


def of_method(name: str) -> dict[str, Any]:
    """One method: its scope and its params."""
    method = METHODS.get(name)
    if method is None:
        raise NotFound(f"unknown method: {name}", fix="engine protocol schema")
    return {"method": name, **_method(method)}


def _method(method: Method) -> dict[str, Any]:
    return {
        "scope": None if method.scope is None else method.scope.value,
        "beforeReady": method.before_ready,
        "params": method.params.model_json_schema(ref_template="#/$defs/{model}"),
    }


def _title(model: type[BaseModel]) -> str:
    return model.__name__


__all__ = ["FRAMES", "of_frames", "of_method", "whole"]
