"""What Telegram's refusals mean (channels.md §10). Pure: numbers first, words where it has none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from gateway.channels.base import Fault, FaultClass

_BY_CODE: Final[Mapping[int, FaultClass]] = {
    401: FaultClass.AUTH,
    409: FaultClass.CONFLICT,
    413: FaultClass.TOO_LONG,
    429: FaultClass.RATE_LIMITED,
}
LONGEST_WAIT: Final = 86_400.0  # seconds; nobody means more than a day by "later"
# 400 and 403 carry no finer code; these words have been stable for years.
_BY_WORDS: Final[Mapping[int, tuple[tuple[str, FaultClass], ...]]] = {
    400: (
        ("group chat was upgraded", FaultClass.MIGRATED),
        ("can't parse entities", FaultClass.FORMAT),
        ("message thread not found", FaultClass.THREAD_GONE),
        ("message is too long", FaultClass.TOO_LONG),
        ("caption is too long", FaultClass.TOO_LONG),
        ("chat not found", FaultClass.NOT_FOUND),
        ("user not found", FaultClass.NOT_FOUND),
        ("not enough rights", FaultClass.MUTED),
        ("have no rights to send", FaultClass.MUTED),
    ),
    403: (
        ("blocked by the user", FaultClass.BLOCKED),
        ("user is deactivated", FaultClass.BLOCKED),
        ("can't initiate conversation", FaultClass.CANNOT_INITIATE),
        ("kicked", FaultClass.NOT_MEMBER),
        ("not a member", FaultClass.NOT_MEMBER),
        ("chat was deleted", FaultClass.NOT_MEMBER),
    ),
    404: (
        ("method", FaultClass.UNKNOWN_ERROR),
        ("not found", FaultClass.AUTH),  # a malformed token is answered so, not with 401
    ),
}
_OTHERWISE: Final[Mapping[int, FaultClass]] = {
    400: FaultClass.CONTENT_REJECTED,
}


def classify(
    status: int, body: Mapping[str, Any] | None, *, retry_after: str | None = None
) -> Fault:
    """Return the fault of an answer that is not a success. ``body`` is None if unreadable.

    An unreadable 2xx is ambiguous: the request was taken, and what became of it is not known.
    ``retry_after`` is the header of that name: a proxy in front of the platform sends no body.
    """
    code = _number(body.get("error_code"), status) if body else status
    if code < 300 and body is not None and body.get("ok") is False:
        code = 400  # a plain no, whatever the number in front of it
    detail = str(body.get("description", "")) if body else "the answer was not JSON"
    parameters = body.get("parameters") if body else None
    parameters = parameters if isinstance(parameters, Mapping) else {}
    moved = parameters.get("migrate_to_chat_id")
    return Fault(
        fault=FaultClass.MIGRATED if moved else _kind(code, detail),
        code=str(code),
        detail=detail[:300],
        retry_after_seconds=_seconds(parameters.get("retry_after", retry_after)),
        migrate_to=str(moved) if moved else None,
    )


def _kind(code: int, detail: str) -> FaultClass:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code >= 500:
        return FaultClass.SERVER
    if code < 300:
        return FaultClass.NETWORK_AMBIGUOUS
    words = detail.lower()
    for fragment, kind in _BY_WORDS.get(code, ()):
        if fragment in words:
            return kind
    return _OTHERWISE.get(code, FaultClass.UNKNOWN_ERROR)


def _number(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _seconds(value: object) -> float | None:
    """A wait that can be waited, or nothing: not for ever, not back in time."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None
