"""A config file becomes a `Config`, or a refusal that names every line (operations.md §2)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from engine.config import checks
from engine.config.compose import Composer, substitute
from engine.config.issues import Issue, Note, refuse
from engine.config.json5 import Node, Place, locate
from engine.config.keypath import Key, dotted
from engine.config.resolve import Resolver
from engine.config.schema import Config
from engine.config.walk import Walker

JobsCheck = Callable[[Config], "list[tuple[Key, str]]"]
_CWD_MAY_NOT: Final = frozenset(
    {"ENGINE_STATE_DIR", "ENGINE_CONFIG_PATH", "ENGINE_HOME", "ENGINE_GATEWAY_TOKEN"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A valid config with everything known about where it came from."""

    config: Config
    path: Path
    text: str  # exact text of the main file; empty when there is none
    hash: str  # sha256 of its bytes
    exists: bool
    notes: tuple[Note, ...] = ()
    files: tuple[Path, ...] = ()  # all files read: the main one and its includes
    origins: Mapping[str, str] = field(default_factory=dict)  # variable -> where it came from
    root: Node | None = None  # the authored tree, includes merged, `${NAME}` as written
    secrets: tuple[str, ...] = ()  # every secret value, for the redactor

    def place(self, *key: str | int) -> Place | None:
        """Where a key stands in the files, for messages that name file and line."""
        if self.root is None:
            return None
        member, node = locate(self.root, key)
        return member.place if member else node.place


def environment(
    environ: Mapping[str, str],
    *,
    state: Path | None = None,
    cwd: Path | None = None,
    block: Mapping[str, str] | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Variables by precedence, and where each came from: process, cwd, state, config block."""
    layers: list[tuple[str, Mapping[str, str]]] = [("process", environ)]
    if cwd is not None:
        own = {k: v for k, v in _dotenv(cwd / ".env").items() if k not in _CWD_MAY_NOT}
        layers.append((str(cwd / ".env"), own))
    if state is not None and state != cwd:
        layers.append((str(state / ".env"), _dotenv(state / ".env")))
    layers.append(("config env", block or {}))
    merged: dict[str, str] = {}
    origins: dict[str, str] = {}
    for origin, values in layers:
        for name, value in values.items():
            if name not in merged:
                merged[name], origins[name] = value, origin
    return merged, origins


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {k: v for k, v in dotenv_values(path, interpolate=False).items() if v is not None}


def load(
    path: Path,
    environ: Mapping[str, str],
    *,
    state: Path | None = None,
    cwd: Path | None = None,
    home: Path | None = None,
    raw: bytes | None = None,
    resolve_secrets: bool = False,
    jobs_check: JobsCheck | None = None,
) -> Loaded:
    """Read, compose, validate. A missing file is the built-in defaults.

    ``raw`` stands in for the file's bytes (to judge a change before it is written).
    Raises `ConfigInvalid` whose text is the block of operations.md §2.6.
    """
    exists = path.exists() or raw is not None
    data = b"{}" if not exists else (raw if raw is not None else _bytes(path, home))
    extra = [Path(p) for p in environ.get("ENGINE_INCLUDE_ROOTS", "").split(":") if p]
    composer = Composer(path.parent, extra)
    root = composer.compose(path, data)
    if root is None:
        raise refuse(path, composer.issues, home=home)
    block = _env_block(root)
    env, origins = environment(environ, state=state or path.parent, cwd=cwd, block=block)
    issues = composer.issues
    walker = Walker(issues=issues)
    pruned = walker.prune(substitute(root, env, issues))
    resolver = Resolver(env, path.parent, enabled=resolve_secrets)
    pruned = resolver.resolve(pruned, issues)
    notes = [*walker.notes, *(_unused(path) for path in resolver.inactive)]
    config, partial = _validated(pruned, issues)
    if config is not None:
        found = checks.run(config, pruned, partial=partial)
        issues += found.issues
        notes += found.notes
        if jobs_check is not None and not partial:
            issues += [_job_issue(pruned, key, text) for key, text in jobs_check(config)]
    if issues or config is None:
        raise refuse(path, issues, home=home)
    return Loaded(
        config=config,
        path=path,
        text=data.decode("utf-8-sig") if exists else "",
        hash=hashlib.sha256(data if exists else b"").hexdigest(),
        exists=exists,
        notes=tuple(notes),
        files=tuple(composer.files) if exists else (),
        origins=origins,
        root=root,
        secrets=tuple(resolver.values(pruned)),
    )


def _bytes(path: Path, home: Path | None) -> bytes:
    if not path.is_file():
        message = "not a regular file"
        raise refuse(
            path, [Issue(path="", message=message, place=Place(path.name, 1, 1))], home=home
        )
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        issue = Issue(path="", message=message, code="unreadable", place=Place(path.name, 1, 1))
        raise refuse(path, [issue], home=home) from error


def _env_block(root: Node) -> dict[str, str]:
    member = root.member("env")
    plain = member.node.plain() if member else {}
    if not isinstance(plain, dict):
        return {}
    named = plain.get("vars")
    both = {**plain, **(named if isinstance(named, dict) else {})}
    return {k: v for k, v in both.items() if isinstance(v, str) and "${" not in v}


def _unused(path: str) -> Note:
    message = "secret reference not resolved: what it belongs to is switched off"
    return Note(code="SECRETS_REF_IGNORED_INACTIVE_SURFACE", path=path, message=message)


def _job_issue(root: Node, key: Key, text: str) -> Issue:
    return Issue(path=dotted(key), message=text, code="job", place=locate(root, key)[1].place)


# --- from pydantic's words to ours --------------------------------------------------------


def _validated(root: Node, issues: list[Issue]) -> tuple[Config | None, bool]:
    """The config; True with it when wrong parts were left out to judge the rest."""
    if root.kind != "object":
        issues.append(
            Issue(path="", message="the file must hold one object { … }", place=root.place)
        )
        return None, True
    data = _finite(root, issues)
    for attempt in range(4):
        try:
            return Config.model_validate_json(json.dumps(data), strict=True), attempt > 0
        except ValidationError as error:
            if not attempt:
                issues += _merged(root, error)
            for row in error.errors(include_url=False):
                _drop(data, _real(root, row["loc"]))
    return None, True


def _drop(data: Any, key: Key) -> None:
    """Take out the smallest member around a wrong value; list items never shift."""
    while key and isinstance(key[-1], int):
        key = key[:-1]
    here: Any = data
    for part in key[:-1]:
        if not isinstance(here, dict | list) or (isinstance(here, dict) and part not in here):
            return
        here = here[part]  # type: ignore[index]  # the part fits: it came from this tree
    if isinstance(here, dict) and key:
        here.pop(key[-1], None)


def _finite(node: Node, issues: list[Issue]) -> Any:
    if node.kind == "object":
        return {m.key: _finite(m.node, issues) for m in node.members}
    if node.kind == "array":
        return [_finite(item, issues) for item in node.items]
    if isinstance(node.value, float) and not math.isfinite(node.value):
        issues.append(
            Issue(path="", message="Infinity and NaN mean nothing here", place=node.place)
        )
        return 0
    return node.value


def _merged(root: Node, error: ValidationError) -> list[Issue]:
    """One issue per place: the branches of a union speak with one voice."""
    found: dict[str, Issue] = {}
    for row in error.errors(include_url=False):
        key = _real(root, row["loc"])
        node = locate(root, key)[1]
        issue = _issue(key, node, row)
        old = found.get(issue.path)
        if old is not None:
            allowed = tuple(dict.fromkeys((*old.allowed, *issue.allowed)))
            issue = replace(old, allowed=allowed) if old.allowed or not issue.allowed else issue
        found[issue.path] = issue
    return list(found.values())


def _real(root: Node, loc: tuple[str | int, ...]) -> Key:
    """The part of pydantic's location that is in the file, and the missing key if that is it."""
    key: list[str | int] = []
    node = root
    for part in loc:
        if isinstance(part, int):
            inside = node.kind == "array" and part < len(node.items)
        else:
            inside = node.kind == "object" and node.member(part) is not None
        if not inside:
            continue
        key.append(part)
        node = locate(node, (part,))[1]
    return tuple(key)


def _issue(key: Key, node: Node, row: Any) -> Issue:
    kind, given = row["type"], _shown(node)
    path = dotted(key)
    if kind == "missing":
        name = str(row["loc"][-1])
        message = f'required key "{name}" is missing'
        return Issue(path=path, message=message, code="required", place=node.place)
    if kind == "literal_error":
        allowed = tuple(a.strip().strip("'") for a in _expected(row["ctx"]["expected"]))
        message = f"expected {row['ctx']['expected'].replace(chr(39), chr(34))}, got {given}"
        message += _bind_hint(path, node)
        return Issue(path=path, message=message, code="value", place=node.place, allowed=allowed)
    if kind == "value_error":
        message = str(row["ctx"]["error"])
        return Issue(path=path, message=message, code="value", place=node.place)
    if kind == "string_pattern_mismatch":
        message = f"{given} is not an id (letters, digits, - and _, at most 64)"
        return Issue(path=path, message=message, code="value", place=node.place)
    wanted = _WANTED.get(kind)
    message = f"expected {wanted}, got {given}" if wanted else f"{row['msg']}, got {given}"
    return Issue(path=path, message=message, code="type" if wanted else "value", place=node.place)


def _expected(text: str) -> list[str]:
    return text.replace(" or ", ", ").split(", ")


def _bind_hint(path: str, node: Node) -> str:
    hosts = {"0.0.0.0": "lan", "::": "lan", "localhost": "loopback", "::1": "loopback"}  # noqa: S104 - names that are read
    mode = {**hosts, "127.0.0.1": "loopback"}.get(str(node.value))
    return f' — write "{mode}"' if path == "gateway.bind" and mode else ""


def _shown(node: Node) -> str:
    if node.kind == "object":
        return "an object"
    if node.kind == "array":
        return "a list"
    text = json.dumps(node.value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


_WANTED: Final[Mapping[str, str]] = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
