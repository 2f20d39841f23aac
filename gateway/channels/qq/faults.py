"""What QQ's refusals mean (channels.md §10). Pure: by the code in the body, even on 2xx.

A body is ``{"message", "code", "err_code", "trace_id"}``; both numbers may be there and the
finer one is `err_code`. Codes: the platform's error pages and the kits named in channels.md §14.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from engine.messages.fault import Fault, FaultClass

_C = FaultClass
_TABLE: Final[Mapping[FaultClass, Iterable[int]]] = {
    _C.AUTH: (100016, 11241, 11242, 11243, 11244, 11245, 11246, 11247, 11251, 11252),
    _C.BLOCKED: (40054013, 304031),
    _C.CANNOT_INITIATE: (40054004,),
    _C.NOT_MEMBER: (40034101, 40054003),
    _C.MUTED: (40054002,),
    _C.FORMAT: (304036, 40034127, 40034009, 40034010, 40034011, 40034124),
    _C.TOO_LONG: (40054007, 40054018),
    _C.RATE_LIMITED: (40034100, 100001),
    _C.QUOTA_EXHAUSTED: (22009, 304045, 304049, 304050),
    _C.PROACTIVE_DENIED: (40034102, 40034105, 304046, 304048),
    _C.WINDOW_EXPIRED: (
        *(304026, 304027, 304028, 304103, 40034005),
        *(40034024, 40034025, 40034026, 40034027, 40034128),
    ),
    _C.DUPLICATE: (40054005,),
    _C.CONTENT_REJECTED: (40034006, 40054010, 304003, 304025),
    _C.OFFLINE: (304018, 40054016),
    _C.SERVER: (50055001, 50055002, 50055006, 40034004, 40054006),
}
BY_CODE: Final[Mapping[int, FaultClass]] = {
    code: kind for kind, codes in _TABLE.items() for code in codes
}
PENDING_AUDIT: Final = frozenset({304023, 304024})  # taken; shown once it was looked at
LINKS_REFUSED: Final = frozenset({40054010, 304003})
_STALE_TOKEN: Final = frozenset({401, 11244})
_BY_STATUS: Final[Mapping[int, FaultClass]] = {
    401: _C.AUTH,
    404: _C.NOT_FOUND,
    413: _C.TOO_LONG,
    429: _C.RATE_LIMITED,
}
_LONGEST_WAIT: Final = 86_400.0


def code_of(body: Mapping[str, Any] | None) -> int:
    """Return what the platform says went wrong; 0 if it does not say so."""
    if body is None:
        return 0
    return next((n for key in ("err_code", "code") if (n := _whole(body.get(key)))), 0)


def stale_token(status: int, body: Mapping[str, Any] | None) -> bool:
    """Whether a new access token may mend it."""
    return status in _STALE_TOKEN or code_of(body) in _STALE_TOKEN


def classify(
    status: int, body: Mapping[str, Any] | None, *, retry_after: str | None = None
) -> Fault:
    """Return the fault of an answer that is not a success. ``body`` is None if unreadable."""
    code = code_of(body)
    words = str(body.get("message") or body.get("msg") or "") if body else "it was not JSON"
    trace = str((body or {}).get("trace_id") or "")
    return Fault(
        fault=BY_CODE[code] if code in BY_CODE else _otherwise(status, code),
        code=str(code or status),
        detail=f"{words} (trace {trace})"[:300] if trace else words[:300],
        retry_after_seconds=_seconds(retry_after),
        links_refused=code in LINKS_REFUSED,
    )


def _otherwise(status: int, code: int) -> FaultClass:
    """An unlisted code is nobody's to guess; without any code the status says a little."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return FaultClass.SERVER
    if code or status >= 400:
        return FaultClass.UNKNOWN_ERROR
    return FaultClass.NETWORK_AMBIGUOUS


def _whole(value: object) -> int:
    if isinstance(value, str) and value.lstrip("-").isdecimal() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value) if value else math.nan
    except ValueError:
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else None
