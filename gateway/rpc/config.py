"""`config.get`, with every secret masked by the word clients restore it from (§10.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.protocol import methods
from gateway.rpc.desk import Call, Desk

REDACTED: Final = "__OPENCLAW_REDACTED__"
_SECRET_KEY: Final = re.compile(
    r"(token|password|passwd|secret|api[-_]?key|private[-_]?key|credential|authorization)s?$",
    re.IGNORECASE,
)
_COUNTS: Final = re.compile(
    r"(max|min|context|input|output|budget|total)\w*tokens?$", re.IGNORECASE
)
_REFERENCE: Final = re.compile(r"^\$\{[A-Z_][A-Z0-9_]*\}$")


async def get(desk: Desk, _call: Call, _params: methods.Nothing) -> object:
    """The file and what it means. `raw` is null as soon as it holds a secret."""
    file = desk.core.config_file()
    parsed, config = mask(file.get("parsed")), mask(file.get("config"))
    hidden = parsed != file.get("parsed") or config != file.get("config")
    answer = {**file, "parsed": parsed, "config": config}
    answer["raw"] = None if hidden else file.get("raw")
    return answer


def mask(value: object, *, secret: bool = False) -> object:
    """Replace secrets by the marker; a `${VAR}` or a reference object shows no secret."""
    if isinstance(value, Mapping):
        return {
            str(key): mask(item, secret=_is_secret(str(key), item)) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(item, secret=secret) for item in value]
    if secret and isinstance(value, str) and value and not _REFERENCE.match(value):
        return REDACTED
    return value if value is None or isinstance(value, str | int | float | bool) else _shown(value)


def _shown(value: object) -> object:
    """A value type of the config: its secrets say so themselves, the rest has a plain form."""
    return REDACTED if hasattr(value, "get_secret_value") else str(value)


def _is_secret(key: str, value: object) -> bool:
    if isinstance(value, Mapping):
        return False  # a reference object: {source, id}; its own keys are looked at
    return bool(_SECRET_KEY.search(key)) and not _COUNTS.search(key)
