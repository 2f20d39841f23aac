"""Frames of the wire: text in, values out, and back (protocol.md §2). No sockets here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

MAX_FRAME_BEFORE_HELLO: Final = 65_536
MAX_FRAME: Final = 26_214_400
MAX_BUFFERED: Final = 52_428_800
TICK_INTERVAL_MS: Final = 30_000
# A file comes as base64 inside one frame.
MAX_ATTACHMENT: Final = (MAX_FRAME - MAX_FRAME_BEFORE_HELLO) // 4 * 3
REASON_BYTES: Final = 123  # RFC 6455: a close frame holds 125, two are the code

NonEmpty = Annotated[str, Field(min_length=1)]
# What a database column and a date can hold: a larger number is refused by name, not by a crash.
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
Instant = Annotated[int, Field(ge=0, le=253_402_300_799_999)]  # ms; the year 9999 ends there


class RequestFrame(BaseModel):
    """A request as it comes: a closed object."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["req"]
    id: NonEmpty
    method: NonEmpty
    params: Any = None
    traceparent: Annotated[str, Field(max_length=128)] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request."""

    id: str
    method: str
    params: Any  # absent and null are the same: {}


@dataclass(frozen=True, slots=True)
class BadFrame:
    """JSON, but not a request. ``id`` is the frame's, or `invalid`."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotJson:
    """Not JSON at all."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A payload that is JSON text already; it is spliced into the frame as it stands."""

    text: str


def decode(raw: str | bytes) -> Request | BadFrame | NotJson:
    """Read one message. Never raises. `NaN` and `Infinity` are words of Python, not of JSON."""
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return NotJson()
    if (plain := _plain(value)) is not None:
        return plain
    try:
        frame = RequestFrame.model_validate(value)
    except ValidationError as error:
        frame_id = value.get("id") if isinstance(value, dict) else None
        known = frame_id if isinstance(frame_id, str) and frame_id else "invalid"
        return BadFrame(known, reasons(error))
    return Request(frame.id, frame.method, {} if frame.params is None else frame.params)


def _plain(value: Any) -> Request | None:
    """A request of nothing but its three or four fields: nearly every one; the model costs 3 us.

    Whatever is otherwise in any way is the model's business.
    """
    if type(value) is not dict or value.get("type") != "req":
        return None
    frame_id, method, params = value.get("id"), value.get("method"), value.get("params")
    if len(value) != (4 if "params" in value else 3):
        return None
    if not (type(frame_id) is str and frame_id and type(method) is str and method):
        return None
    return Request(frame_id, method, {} if params is None else params)


def reasons(error: ValidationError) -> str:
    """The words of §2.1, several joined by `; `; clients match on them."""
    return "; ".join(_reason(detail) for detail in error.errors(include_url=False))


def paths(error: ValidationError) -> list[str]:
    """JSON pointers of what was wrong, for `details.path` (§14)."""
    return ["/" + "/".join(str(part) for part in detail["loc"]) for detail in error.errors()]


_WORDS: Final[Mapping[str, str]] = {
    "literal_error": "must be equal to one of the allowed values",
    "enum": "must be equal to one of the allowed values",
    "string_type": "must be string",
    "int_type": "must be integer",
    "int_from_float": "must be integer",
    "bool_type": "must be boolean",
    "float_type": "must be number",
    "list_type": "must be array",
    "dict_type": "must be object",
    "model_type": "must be object",
    "model_attributes_type": "must be object",
    "mapping_type": "must be object",
}
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than_equal": (">=", "ge"),
    "less_than_equal": ("<=", "le"),
}


def _reason(detail: ErrorDetails) -> str:
    kind, where = detail["type"], detail["loc"]
    if kind in _BOUNDS:
        sign, limit = _BOUNDS[kind]
        return f"{_path(where)}: must be {sign} {detail.get('ctx', {}).get(limit)}"
    match kind:
        case "missing":
            return f"{_path(where[:-1])}: must have required property '{where[-1]}'"
        case "extra_forbidden":
            return f"{_path(where[:-1])}: unexpected property '{where[-1]}'"
        case "string_too_short":
            least = detail.get("ctx", {}).get("min_length", 1)
            return f"{_path(where)}: must NOT have fewer than {least} characters"
        case "value_error":
            return f"{_path(where)}: {detail['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{_path(where)}: {_WORDS.get(kind, detail['msg'])}"


def _path(where: tuple[int | str, ...]) -> str:
    return "at /" + "/".join(str(part) for part in where) if where else "at root"


def encode(value: object) -> str:
    """JSON text of any wire value. A number that is none is null: JSON has no word for it."""
    return to_json(value, inf_nan_mode="null").decode()


def payload_text(payload: object) -> str:
    """JSON text of a payload, encoded once if it came encoded."""
    return payload.text if isinstance(payload, Encoded) else encode(payload)


def response(request_id: str, payload: object) -> str:
    """Frame of a good answer."""
    body = payload_text(payload)
    return f'{{"type":"res","id":{encode(request_id)},"ok":true,"payload":{body}}}'


def failure(request_id: str, error: Mapping[str, Any], payload: object = None) -> str:
    """Frame of a refusal; `agent` sends a payload beside the error (§8)."""
    frame: dict[str, Any] = {"type": "res", "id": request_id, "ok": False, "error": error}
    if payload is not None:
        frame["payload"] = payload
    return encode(frame)


def event(
    name: str,
    payload: str,
    *,
    seq: int | None = None,
    state_version: Mapping[str, int] | None = None,
) -> str:
    """Frame of an event. ``payload`` is JSON text, so that a broadcast is encoded once."""
    tail = "" if seq is None else f',"seq":{seq}'
    if state_version is not None:
        tail += f',"stateVersion":{encode(state_version)}'
    return f'{{"type":"event","event":"{name}","payload":{payload}{tail}}}'


def close_reason(text: str) -> str:
    """Cut to what a close frame holds, at a character boundary (§5.2)."""
    return text.encode()[:REASON_BYTES].decode(errors="ignore")
