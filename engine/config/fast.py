"""The few facts the quick commands need, without pydantic and without places.

Whatever is wrong with the file is not judged here: an unreadable one counts as empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.config.paths import Paths

_STEP: Final = re.compile(r"""\.?([A-Za-z0-9_$*-]+)|\[(\d+)\]|\["([^"]*)"\]|\[(\w+)=([^\]]+)\]""")
_VARIABLE: Final = re.compile(r"\$?\$\{([A-Z_][A-Z0-9_]*)\}")
MISSING: Final = object()


def read(path: Path) -> dict[str, Any]:
    """The file as plain values; empty when it is missing or cannot be read."""
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    import pyjson5

    try:
        values = pyjson5.decode(text)
    except pyjson5.Json5Exception:
        return {}
    return values if isinstance(values, dict) else {}


def get(values: Any, path: str) -> Any:
    """The authored value at a dotted path, or `MISSING`."""
    here, at = values, 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            return MISSING
        here = _below(here, match)
        if here is MISSING:
            return MISSING
        at = match.end()
    return here


def _below(here: Any, match: re.Match[str]) -> Any:
    name, index, quoted, key, ident = match.groups()
    if index is not None:
        inside = isinstance(here, list) and int(index) < len(here)
        return here[int(index)] if inside else MISSING
    if key is not None:
        rows = here if isinstance(here, list) else []
        return next((r for r in rows if isinstance(r, dict) and r.get(key) == ident), MISSING)
    part = name if name is not None else quoted
    return here.get(part, MISSING) if isinstance(here, dict) else MISSING


def expand(text: str, env: Mapping[str, str]) -> str:
    """`${NAME}` filled in; an unset one becomes nothing."""
    return _VARIABLE.sub(lambda m: m[0][1:] if m[0].startswith("$$") else env.get(m[1], ""), text)


def port(paths: Paths, values: Mapping[str, Any], env: Mapping[str, str]) -> tuple[int, str]:
    """The gateway's port, and which layer says so (operations.md §6.1)."""
    wish = env.get("ENGINE_GATEWAY_PORT", "").strip()
    if wish.isdecimal() and int(wish) <= 65535:
        return int(wish), "env"
    given = get(values, "gateway.port")
    if isinstance(given, int) and not isinstance(given, bool):
        return given, "config"
    return paths.default_port, "default"


def credential(
    paths: Paths, values: Mapping[str, Any], env: Mapping[str, str], kind: str = "token"
) -> tuple[str | None, str]:
    """The gateway's token or password as this host knows it, and where it was found."""
    variable = env.get(f"ENGINE_GATEWAY_{kind.upper()}", "").strip()
    if variable:
        return variable, "env"
    found = configured(values, env, kind)
    if found:
        return found, "config"
    if kind == "token":
        try:
            text = paths.token_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        if text:
            return text, "file"
    return None, "none"


def configured(
    values: Mapping[str, Any], env: Mapping[str, str], kind: str = "token"
) -> str | None:
    """`gateway.auth.<kind>` of the file, or `gateway.remote.<kind>` in remote mode."""
    place = "remote" if get(values, "gateway.mode") == "remote" else "auth"
    given = get(values, f"gateway.{place}.{kind}")
    if isinstance(given, str):
        return expand(given, env).strip() or None
    if isinstance(given, dict) and given.get("source") == "env":
        return env.get(str(given.get("id")), "").strip() or None
    return None
