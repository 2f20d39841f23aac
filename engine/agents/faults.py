"""What a failed model request means, and the words for it. Pure.

The library's errors are read by name and by attribute, so that nothing is imported for it.
An operator reads these words in `engine heartbeat last`: what happened, where, what to do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from engine.agents.base import FailureClass
from engine.messages.said import no_remedy

# The library's own categories, most particular first.
_CATEGORIES: Final[Mapping[str, FailureClass]] = {
    "ModelQuotaExceededError": FailureClass.BILLING,
    "ModelRateLimitError": FailureClass.RATE_LIMIT,
    "ModelOverloadedError": FailureClass.OVERLOADED,
    "ModelUnavailableError": FailureClass.SERVER_ERROR,
    "ModelTimeoutError": FailureClass.TIMEOUT,
    "ModelRequestTimeout": FailureClass.TIMEOUT,
    "ModelConnectionError": FailureClass.NETWORK,
    "ModelServerError": FailureClass.SERVER_ERROR,
    "ModelAuthenticationError": FailureClass.AUTH,
    "ModelNotFoundError": FailureClass.MODEL_NOT_FOUND,
    "ModelRequestRejectedError": FailureClass.INVALID,
    "UnexpectedModelBehavior": FailureClass.INVALID,
    "UserError": FailureClass.INVALID,
    "NoAnswer": FailureClass.INVALID,  # ours: `engine.agents.envelope`
}

_STATUSES: Final[Mapping[int, FailureClass]] = {
    401: FailureClass.AUTH,
    402: FailureClass.BILLING,
    403: FailureClass.AUTH,
    404: FailureClass.MODEL_NOT_FOUND,
    408: FailureClass.TIMEOUT,
    429: FailureClass.RATE_LIMIT,
    504: FailureClass.TIMEOUT,
    529: FailureClass.OVERLOADED,
}

# What the library raises when it stumbles over an answer of no known shape.
STUMBLED: Final = (LookupError, AttributeError, TypeError)

_WHAT_MOST: Final = 400  # of what happened: what to do about it is not to be cut off behind it
_NO_COMPLETION: Final = "the answer is no chat completion"
# How the library and its parser decorate what they found.
_DECORATION: Final = re.compile(
    r"^Invalid response from .*? endpoint(?:: |, )(?:\d+ validation errors? for ChatCompletion\s)?"
    r"|\s*\[type=[^\]]*\]|\s*For further information visit \S+"
)


class ProviderRefused(RuntimeError):
    """A request a client of our own made was refused; ``failure`` where the provider says why."""

    def __init__(
        self,
        words: str,
        failure: FailureClass | None = None,
        *,
        status_code: int | None = None,
        body: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(words)
        self.failure = failure
        self.status_code = status_code
        self.body = body
        self.retry_after = retry_after


def classify(error: BaseException) -> FailureClass:
    """Return the class of a failed request: the library's category, then the status."""
    if isinstance(error, ProviderRefused) and error.failure is not None:
        return error.failure
    for kind in type(error).__mro__:
        if found := _CATEGORIES.get(kind.__name__):
            return found
    if isinstance(error, STUMBLED):
        return FailureClass.INVALID
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        return FailureClass.INTERNAL
    if status in _STATUSES:
        return _STATUSES[status]
    if status >= 500:
        return FailureClass.SERVER_ERROR
    return FailureClass.INVALID if status >= 400 else FailureClass.INTERNAL


def told(error: BaseException, *, provider: str, base_url: str | None) -> str:
    """Say what happened and, where somebody can mend it, how."""
    kind = classify(error)
    what = no_remedy(_what(error, kind, base_url))[:_WHAT_MOST]
    fix = _fix(kind, provider)
    if kind is FailureClass.MODEL_NOT_FOUND:
        what = f"{what.rstrip('.')} (as a rule, a baseUrl ends in /v1)"
    return f"{what.rstrip('.')}. Fix: {fix}" if fix else what


def _what(error: BaseException, kind: FailureClass, base_url: str | None) -> str:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        said = _said(getattr(error, "body", None))
        return f"the server answered {status}: {said}" if said else f"the server answered {status}"
    if kind is FailureClass.NETWORK:
        return f"no connection to {_where(base_url)}: {_root(error)}"
    if isinstance(error, STUMBLED):
        return _NO_COMPLETION
    text = str(error) or type(error).__name__
    if type(error).__name__ == "UnexpectedModelBehavior":
        return f"{_NO_COMPLETION}: {_DECORATION.sub('', text)}"
    return text


def _said(body: Any) -> str:
    """The server's own words out of the body of a refusal."""
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            inner = inner.get("message") or inner.get("detail") or inner.get("code")
        body = inner
    return str(body or "").strip()


def _where(base_url: str | None) -> str:
    """Host and port: an address may hold credentials, these two cannot."""
    parts = urlsplit(base_url or "")
    if not parts.hostname:
        return "the provider"
    return parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"


def _root(error: BaseException) -> str:
    """The innermost cause: the outer ones only say that there was one."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def _fix(kind: FailureClass, provider: str) -> str:
    entry = f"models.providers.{provider}"
    match kind:
        case FailureClass.NETWORK:
            return f"elsewhere: start the server, or set {entry}.baseUrl"
        case FailureClass.AUTH:
            return f"engine config set {entry}.apiKey NEW_KEY"
        case FailureClass.BILLING:
            return "elsewhere: give the account credit, or choose another model"
        case FailureClass.MODEL_NOT_FOUND:
            return f"engine config set agents.defaults.model.primary {provider}/MODEL"
        case _:
            return ""
