"""What hides a secret when a config is shown, and is never taken for one (operations.md §3).

Which values are secret is known by the name of their key, so that a file that cannot be
validated hides them too. Imports nothing slow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from engine.config.variables import is_variable
from engine.log.redaction import HIDDEN

# The word the reference product's clients restore a secret from (protocol.md §10.7).
HIDDEN_ON_WIRE: Final = "__OPENCLAW_REDACTED__"
MARKERS: Final = frozenset({HIDDEN, HIDDEN_ON_WIRE, "***"})
# A name that ends like a secret's holds one; a limit on tokens does not.
_SECRET: Final = re.compile(
    r"(token|password|passwd|secret|api[-_]?key|access[-_]?key|private[-_]?key|passphrase|credential|authorization)s?$",
    re.IGNORECASE,
)
_LIMIT: Final = re.compile(r"(max|min|context|input|output|budget|total)\w*tokens?$", re.IGNORECASE)
_WEBHOOK: Final = "webhook"  # the channel
_CALLED: Final = frozenset({"url", "probeUrl"})
_JOBS: Final = ("cron", "jobs")  # whose words may go to an address that lets anybody post there
_WHERE: Final = frozenset({"to", "deliver", "url", "webhook"})
_PING: Final = "ping"  # of a heartbeat: whoever calls it says that all is well
_ENV: Final = "env"  # variables: named by whoever wrote the program that reads them
_VARIABLE: Final = re.compile(r"(KEY|PASS|PWD|PAT|AUTH|COOKIE|DSN)S?$", re.IGNORECASE)
_TLS: Final = "tls"
_HEADERS: Final = "headers"  # of a model's server: any may hold a key
_CREDENTIALS: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]*@", re.IGNORECASE)


def is_marker(text: str) -> bool:
    """Whether a text is what a hidden secret prints as."""
    return text.strip() in MARKERS


def masked(value: Any, *path: str, marker: str = HIDDEN) -> Any:
    """The value at ``path`` with every secret in it replaced by ``marker``.

    A `${NAME}` or a reference object shows where a secret is kept, and stays. An address with
    credentials in it is hidden whole, and so is one that is called: its path is the secret.
    """
    match value:
        case Mapping():
            return {k: masked(inner, *path, str(k), marker=marker) for k, inner in value.items()}
        case list() | tuple():
            return [masked(inner, *path, marker=marker) for inner in value]
        case str() if value and not is_variable(value):
            hides = _hides_at(path, value) or _hides(path[-1] if path else "", value)
            return marker if hides else value
        case _:
            return value


def _hides_at(path: Sequence[str], text: str) -> bool:
    """Whether what stands here is a secret for where it stands."""
    if _HEADERS in path[:-1]:
        return True
    if _ENV in path[:-1] and _VARIABLE.search(path[-1]):
        return True
    if _TLS in path[:-1] and path[-1] == "key":
        return True
    called = path[-1:] == (_PING,) or (_WEBHOOK in path and path[-1] in _CALLED)
    posted = tuple(path[:2]) == _JOBS and path[-1] in _WHERE
    return (called or posted) and "://" in text


def job_shown(job: Mapping[str, Any], *, marker: str = HIDDEN) -> dict[str, Any]:
    """A job without the addresses and variables that are secrets, as a list may show it."""
    shown: dict[str, Any] = masked(job, *_JOBS, "<id>", marker=marker)
    return shown


def is_secret(name: str) -> bool:
    """Whether a key of this name holds a secret."""
    return _SECRET.search(name) is not None and _LIMIT.search(name) is None


def _hides(name: str, text: str) -> bool:
    named = is_secret(name)
    service = name == "urls" and "://" in text  # of apprise: what is behind the scheme is secret
    return named or service or _CREDENTIALS.match(text) is not None


def hidden(value: Any, *path: str) -> Iterator[str]:
    """Yield every text that `masked` would hide: a log learns them."""
    match value:
        case Mapping():
            for key, inner in value.items():
                yield from hidden(inner, *path, str(key))
        case list() | tuple():
            for inner in value:
                yield from hidden(inner, *path)
        case str() if value and masked(value, *path) != value and not is_marker(value):
            yield value
        case _:
            pass
