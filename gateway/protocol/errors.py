"""Refusals as they look on the wire (protocol.md §5), and the one place that makes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final

from jobs.errors import (
    AccessRefused,
    EngineError,
    GatewayDown,
    JobNotFound,
    NotFound,
    StoreUnavailable,
    TimedOut,
)


class Code(StrEnum):
    """Top-level codes (§5.1). Ours go into `details.code`."""

    INVALID_REQUEST = "INVALID_REQUEST"
    UNAVAILABLE = "UNAVAILABLE"
    NOT_PAIRED = "NOT_PAIRED"
    FORBIDDEN = "FORBIDDEN"


@dataclass(frozen=True, slots=True)
class WireError:
    """The `error` of an answer."""

    code: Code
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    retry_after_ms: int | None = None
    retryable: bool = False

    def to_wire(self) -> dict[str, Any]:
        """The object a client reads."""
        wire: dict[str, Any] = {"code": self.code.value, "message": self.message}
        if self.details:
            wire["details"] = dict(self.details)
        if self.retryable or self.retry_after_ms is not None:
            wire["retryable"] = True
        if self.retry_after_ms is not None:
            wire["retryAfterMs"] = self.retry_after_ms
        return wire


class Refusal(Exception):
    """Raised by a handler that knows its wire error exactly."""

    def __init__(self, error: WireError) -> None:
        super().__init__(error.message)
        self.error = error


def invalid(message: str, **details: object) -> Refusal:
    """A request that breaks the contract."""
    return Refusal(WireError(Code.INVALID_REQUEST, message, details))


# Of the reference product, and not here yet: a client that calls one reads why.
LATER: Final[Mapping[str, str]] = {
    "cron.scratch.get": "private notes of jobs are not kept yet; an agent has its workspace",
    "cron.scratch.set": "private notes of jobs are not kept yet; an agent has its workspace",
}


def unknown_method(method: str, known: Collection[str] = ()) -> WireError:
    """Told to admins only (§9), with the nearest there is; the message is matched on as it is."""
    if method in LATER:
        return WireError(Code.INVALID_REQUEST, f"{method} is not supported yet: {LATER[method]}")
    near = get_close_matches(method, known, 1)
    details = {"nearest": near[0], "fix": f"engine gateway call {near[0]}"} if near else {}
    return WireError(Code.INVALID_REQUEST, f"unknown method: {method}", details)


def missing_scope(scope: str, protocol: int) -> WireError:
    """§13: two versions, two codes, one message."""
    message = f"missing scope: {scope}"
    if protocol < 4:
        return WireError(Code.INVALID_REQUEST, message)
    details = {"code": "MISSING_SCOPE", "missingScope": scope, "requiredScopes": [scope]}
    return WireError(Code.FORBIDDEN, message, details)


def starting(method: str = "") -> WireError:
    """Before ready (§6): clients wait and try again."""
    message = f"{method} unavailable during gateway startup" if method else "gateway starting"
    return WireError(
        Code.UNAVAILABLE,
        message,
        {"reason": "startup-sidecars", "fix": "wait: the gateway is starting"},
        retry_after_ms=500,
    )


def leaving(method: str = "") -> WireError:
    """While draining (§6)."""
    message = (
        f"{method} unavailable during gateway restart" if method else "gateway restart in progress"
    )
    return WireError(
        Code.UNAVAILABLE,
        message,
        {"reason": "gateway-restarting", "fix": "engine gateway status"},
        retry_after_ms=1000,
    )


def suspended(method: str = "") -> WireError:
    """While a host holds the gateway (§10.1): it goes on by itself."""
    message = (
        f"{method} unavailable during gateway suspension"
        if method
        else "gateway suspension in progress"
    )
    return WireError(
        Code.UNAVAILABLE,
        message,
        {"reason": "gateway-suspending", "fix": "wait: it goes on within two minutes"},
        retry_after_ms=1000,
    )


def changed_meanwhile() -> WireError:
    """What let a client in was taken away while it waited; it is judged anew (§6)."""
    return WireError(
        Code.UNAVAILABLE,
        "gateway auth changed; connect again",
        {"reason": "auth-changed"},
        retry_after_ms=100,
    )


def busy() -> WireError:
    """Too many calls at once from one socket (§14)."""
    return WireError(
        Code.UNAVAILABLE,
        "The server is busy: too many calls in flight on this connection",
        {"reason": "in-flight-limit", "fix": "wait for an answer before the next call"},
        retry_after_ms=100,
    )


def internal(method: str) -> WireError:
    """A bug of ours; the log has the traceback."""
    return WireError(
        Code.UNAVAILABLE,
        f"{method} failed inside the gateway",
        {"engineCode": EngineError.code, "fix": "read the gateway's log, in logs/ of its home"},
    )


_DETAIL_CODES: Final[Mapping[str, str]] = {
    "job-not-found": "CRON_JOB_NOT_FOUND",
    "conflict": "CONFLICT",
    "config-owned": "CONFIG_OWNED",
}
_UNAVAILABLE: Final = (StoreUnavailable, TimedOut, GatewayDown)


def from_engine_error(error: EngineError) -> WireError:
    """Translate a deliberate refusal. The class decides, never the wording.

    ``details`` carries code, what, why and fix, so that a client of ours can raise the same
    error again, and what the original's clients look for (§5.1).
    """
    details: dict[str, Any] = {
        key: value for key, value in error.detail.items() if isinstance(value, str | int | bool)
    }
    details |= {"engineCode": error.code, "what": error.what, "code": _detail_code(error)}
    if error.why:
        details["why"] = error.why
    if error.fix:
        details["fix"] = error.fix
    if isinstance(error, JobNotFound) and "job_id" in error.detail:
        details["jobId"] = error.detail["job_id"]
    if "agent_id" in error.detail:
        details["agentId"] = error.detail["agent_id"]
    message = f"{error.what}: {error.why}" if error.why else error.what
    retry = isinstance(error, StoreUnavailable | TimedOut)
    return WireError(_top_code(error), message, details, retryable=retry)


def _top_code(error: EngineError) -> Code:
    if isinstance(error, _UNAVAILABLE) or type(error) is EngineError:
        return Code.UNAVAILABLE
    if isinstance(error, AccessRefused):
        return Code.FORBIDDEN
    return Code.INVALID_REQUEST


def _detail_code(error: EngineError) -> str:
    if type(error) is NotFound and "agent_id" in error.detail:
        return "UNKNOWN_AGENT_ID"
    return _DETAIL_CODES.get(error.code, error.code.replace("-", "_").upper())
