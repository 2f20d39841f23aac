"""The few facts the quick commands need, without pydantic and without places.

Whatever is wrong with the file is not judged here: an unreadable one counts as empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from engine.config.keypath import ById, Part, parse_path
from engine.config.paths import Paths
from engine.config.variables import expand

MISSING: Final = object()


def read(path: Path) -> dict[str, Any]:
    """The file as plain values; empty when it is missing or cannot be read."""
    try:
        return decoded(path.read_bytes())
    except OSError:
        return {}


def decoded(raw: bytes) -> dict[str, Any]:
    """The same of a file's bytes."""
    import pyjson5

    try:
        values = pyjson5.decode(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, pyjson5.Json5Exception):
        return {}
    return values if isinstance(values, dict) else {}


def get(values: Any, path: str) -> Any:
    """The authored value at a dotted path, or `MISSING`."""
    here = values
    for part in parse_path(path):
        here = _below(here, part)
    return here


def _below(here: Any, part: Part) -> Any:
    match part:
        case str() if isinstance(here, dict):
            return here.get(part, MISSING)
        case int() if isinstance(here, list) and part < len(here):
            return here[part]
        case ById(key, value) if isinstance(here, list):
            rows = (row for row in here if isinstance(row, dict) and key in row)
            return next((row for row in rows if str(row[key]) == value), MISSING)
        case _:
            return MISSING


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
    found = configured(values, env, kind, paths.config.parent)
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
    values: Mapping[str, Any],
    env: Mapping[str, str],
    kind: str = "token",
    directory: Path | None = None,
) -> str | None:
    """`gateway.auth.<kind>` of the file, or `gateway.remote.<kind>` in remote mode.

    A reference is followed as the gateway does (operations.md §14.4), where ``directory`` says
    on what its file hangs.
    """
    place = "remote" if get(values, "gateway.mode") == "remote" else "auth"
    given = get(values, f"gateway.{place}.{kind}")
    if isinstance(given, str):
        return expand(given, env).strip() or None
    return _followed(given, values, env, directory) if isinstance(given, dict) else None


def _followed(
    given: dict[str, Any],
    values: Mapping[str, Any],
    env: Mapping[str, str],
    directory: Path | None,
) -> str | None:
    """What a reference leads to; nothing where it leads nowhere: that is the audit's to tell."""
    named = get(values, "secrets.providers")
    plain = given.get("source") == "env" and not isinstance(named, dict)
    if plain and not given.get("provider"):
        return env.get(str(given.get("id")), "").strip() or None
    if directory is None:
        return None
    from engine.config.providers import Book
    from engine.config.secrets import secret

    try:
        ref = secret(given).ref
    except ValueError:
        return None
    if ref is None:
        return None
    found = Book.of(get(values, "secrets"), env, directory).look_up([ref])[ref]
    return found if isinstance(found, str) else None
