"""What all clients of a platform's REST interface share: which failure is which, safe bodies."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import httpx

from engine.messages.fault import Fault, FaultClass

SEND_TIMEOUT: Final = httpx.Timeout(20.0, connect=10.0)
# An answer that trickles in keeps a read timeout happy for ever; this one counts the whole.
WHOLE_CALL: Final = 60.0
# A file of 50 MB on a slow line; each piece of it has the time of a send.
UPLOAD_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
WHOLE_UPLOAD: Final = 300.0
# Nothing of the request has left: repeating it is always safe.
PRESEND: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.ProxyError,
    httpx.InvalidURL,
)


@cache
def _trust() -> ssl.SSLContext:
    """Reading the certificates takes longer than everything else about a client: once is enough."""
    return httpx.create_ssl_context()


def client(
    timeout: httpx.Timeout | float = SEND_TIMEOUT, *, kept: bool = True
) -> httpx.AsyncClient:
    """Return a client that follows nobody elsewhere and logs no address: it may hold a secret.

    ``kept`` False: each request has a connection of its own. Whoever calls servers by the
    addresses that were judged must not: two names may share one, and a connection proved one name.
    """
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    limits = httpx.Limits(
        max_connections=100, max_keepalive_connections=20 if kept else 0, keepalive_expiry=5.0
    )
    return httpx.AsyncClient(
        timeout=timeout, follow_redirects=False, verify=_trust(), limits=limits
    )


def network_fault(error: Exception) -> Fault:
    """Return the fault of a request without an answer: had it left, it may have been obeyed."""
    kind = (
        FaultClass.NETWORK_PRESEND if isinstance(error, PRESEND) else FaultClass.NETWORK_AMBIGUOUS
    )
    words = str(error) or "no answer"
    return Fault(fault=kind, code=type(error).__name__, detail=words[:300])


def json_object(answer: httpx.Response) -> Mapping[str, Any] | None:
    """Return the body if it is a JSON object."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):  # the latter: brackets without end
        return None
    return body if isinstance(body, Mapping) else None
