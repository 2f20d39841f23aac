"""Changes one path of the config file and nothing else in it (operations.md §3).

The text outside the changed span survives byte for byte: comments, order, quoting.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.config.compose import INCLUDE
from engine.config.issues import Issue, refuse
from engine.config.json5 import Document, Json5Error, Node, Place, parse, render, render_key
from engine.config.keypath import Append, ById, Part, parse_path
from engine.config.masks import is_marker
from jobs.errors import Conflict, EngineError, InvalidInput, NotFound, StoreUnavailable, UsageError

BACKUPS: Final = 5
KEEP_REJECTED: Final = 10
_GAP: Final = re.compile(r"(?:\s|//[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
_REST: Final = re.compile(r"[^\S\r\n]*(?:/\*[^\r\n]*?\*/[^\S\r\n]*)*(?://[^\r\n]*)?(?=\r?\n|\Z)")


# --- the text ----------------------------------------------------------------------------


def find(root: Node, parts: tuple[Part, ...]) -> Node | None:
    """The value at a path, None when there is none."""
    node: Node | None = root
    for part in parts:
        node = _step(node, part) if node is not None else None
    return node


def _step(node: Node, part: Part) -> Node | None:
    match part:
        case str():
            member = node.member(part)
            return member.node if member else None
        case int():
            return node.items[part] if part < len(node.items) else None
        case ById(key, value):
            return next((i for i in node.items if _is(i, key, value)), None)
        case Append():
            return None


def _is(item: Node, key: str, value: str) -> bool:
    member = item.member(key)
    return member is not None and str(member.node.value) == value


def set_text(text: str, path: str, value: Any) -> str:
    """The text with ``value`` at ``path``; missing objects on the way are made."""
    refuse_markers(value)
    parts = parse_path(path)
    document = parse(text if text.strip() else "{\n}\n")
    text = document.source.text
    quoted = _quotes_keys(document.root)
    _refuse_included(document.root, parts, path)
    present = find(document.root, parts)
    if present is not None:
        if present.plain() == value and type(present.plain()) is type(value):
            return text
        new = render(value, indent=_indent_of(text, present.start), quote_keys=quoted)
        return text[: present.start] + new + text[present.end :]
    depth = len(parts) - 1
    while depth and find(document.root, parts[:depth]) is None:
        depth -= 1
    host = find(document.root, parts[:depth])
    if host is None:
        raise AssertionError("the root is always there")
    for part in reversed(parts[depth + 1 :]):
        value = _wrap(part, value, path)
    return _inserted(text, host, parts[depth], value, path, quoted=quoted)


def _refuse_included(root: Node, parts: tuple[Part, ...], path: str) -> None:
    """What comes from another file is changed in that file."""
    for depth in range(len(parts)):
        node = find(root, parts[:depth])
        wish = node.member(INCLUDE) if node is not None else None
        if wish is not None:
            files = wish.node.plain()
            shown = files if isinstance(files, str) else ", ".join(map(str, files))
            raise InvalidInput(
                f"{path} was not changed", why=f"it comes from {shown}", fix=f"edit {shown}"
            )


def _wrap(part: Part, value: Any, path: str) -> Any:
    match part:
        case str():
            return {part: value}
        case Append() | 0:
            return [value]
        case ById(key, ident):
            return [{key: ident, **(value if isinstance(value, dict) else {})}]
        case _:
            raise _no_place(path, f"the list before [{part}] is empty")


def _inserted(text: str, host: Node, part: Part, value: Any, path: str, *, quoted: bool) -> str:
    if host.kind == "object" and isinstance(part, str):
        lead = f"{render_key(part, quote=quoted)}: "
        ends = [m.node.end for m in host.members]
        starts = [m.start for m in host.members]
    elif host.kind == "array" and not isinstance(part, str):
        if isinstance(part, int) and part != len(host.items):
            raise _no_place(path, f"the list has {len(host.items)} items")
        if isinstance(part, ById):
            value = {part.key: part.value, **(value if isinstance(value, dict) else {})}
        lead, ends, starts = "", [i.end for i in host.items], [i.start for i in host.items]
    else:
        raise _no_place(path, f"there is a {host.kind} on the way")
    if ends:
        return _after(text, host, (starts[-1], ends[-1]), lead, value, quoted=quoted)
    outer = _indent_of(text, host.start)
    body = render(value, indent=outer + "  ", quote_keys=quoted)
    new = f"\n{outer}  {lead}{body}," if host.kind == "object" else f"{lead}{body}"
    inside = text[host.start + 1 : host.end - 1]
    if inside.strip():  # only comments: keep them, and close on a line of its own
        head = text[: host.end - 1].rstrip()
        return f"{head}\n{outer}  {lead}{body},\n{outer}{text[host.end - 1 :]}"
    close = f"\n{outer}" if host.kind == "object" else ""
    return text[: host.start + 1] + new + close + text[host.end - 1 :]


def _after(
    text: str, host: Node, last: tuple[int, int], lead: str, value: Any, *, quoted: bool
) -> str:
    start, end = last
    gap = _gap(text, end)
    comma = text[gap] == ","
    own_line = "\n" in text[host.start : start] and "\n" in text[end : host.end]
    if not own_line:
        body = render(value, indent=_indent_of(text, host.start), quote_keys=quoted)
        if comma:
            return f"{text[: gap + 1]} {lead}{body}{text[gap + 1 :]}"
        return f"{text[:end]}, {lead}{body}{text[end:]}"
    indent = _indent_of(text, start)
    row = f"\n{indent}{lead}{render(value, indent=indent, quote_keys=quoted)}{',' if comma else ''}"
    if not comma:
        text, gap = f"{text[:end]},{text[end:]}", end
    # A comment behind the last entry on its line belongs to it.
    rest = _REST.match(text, gap + 1)
    at = rest.end() if rest else gap + 1
    return text[:at] + row + text[at:]


def unset_text(text: str, path: str) -> str:
    """The text without the entry at ``path``; `NotFound` when there is none."""
    parts = parse_path(path)
    document = parse(text if text.strip() else "{}")
    text = document.source.text
    _refuse_included(document.root, parts, path)
    host, node = find(document.root, parts[:-1]), find(document.root, parts)
    if host is None or node is None:
        raise NotFound(f"{path} is not set", why="nothing changed", fix="engine config get")
    start = next((m.start for m in reversed(host.members) if m.node is node), node.start)
    return _cut(text, host, start, node.end)


def _cut(text: str, host: Node, start: int, end: int) -> str:
    gap = _gap(text, end)
    comma = text[gap] == ","
    if comma:
        end = gap + 1
    rest = _REST.match(text, end)
    line = text.rfind("\n", 0, start) + 1
    if rest and rest.end() < host.end and not text[line:start].strip():
        newline = re.compile(r"\r?\n").match(text, rest.end())
        return text[:line] + text[newline.end() if newline else rest.end() :]
    if not comma:  # the last entry of a line: the comma before it goes too
        before = text[host.start : start].rstrip()
        if before.endswith(","):
            start = host.start + len(before) - 1
    return text[:start] + text[end:].lstrip(" ") if comma else text[:start] + text[end:]


def _gap(text: str, at: int) -> int:
    match = _GAP.match(text, at)
    return match.end() if match else at


def _indent_of(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _quotes_keys(root: Node) -> bool:
    """True when the file writes its keys in quotes."""
    return bool(root.members) and root.source.text[root.members[0].start] in "\"'"


def _no_place(path: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path} was not set", why=why, fix=f"engine config get {path.split('.')[0]}"
    )


def refuse_markers(value: Any) -> None:
    """What a hidden secret prints as is never a value (operations.md §3)."""
    match value:
        case str() if is_marker(value):
            raise InvalidInput(
                f'"{value.strip()}" was not written',
                why="it is what a hidden secret prints as",
                fix="give the real value, or ${NAME}",
            )
        case dict():
            for inner in value.values():
                refuse_markers(inner)
        case list() | tuple():
            for inner in value:
                refuse_markers(inner)
        case _:
            pass


def value_of(text: str, *, strict: bool = False) -> Any:
    """A value as typed on the command line: JSON5, else the string itself."""
    try:
        return parse(text, "value").root.plain()
    except Json5Error as error:
        if strict:
            raise UsageError(
                "the value is not JSON5", why=f"{error.message} (column {error.column})"
            ) from error
        return text


# --- the file ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a write did. ``line`` is for stderr; without a change it says so."""

    changed: bool
    line: str
    text: str
    old_hash: str
    new_hash: str


Edit = Callable[[str], str]
Validate = Callable[[bytes], object]  # raises ConfigInvalid


def write(
    path: Path,
    edit: Edit,
    *,
    validate: Validate,
    now: datetime,
    version: str | None = None,
    base_hash: str | None = None,
    replace: bool = False,
) -> Written:
    """Read, edit, validate, keep a backup, put the new file in place: all or nothing.

    A result that does not validate is kept beside it as `.rejected.<time>` and the active
    file is not touched. ``version`` stamps `meta` (operations.md §3).
    """
    if path.is_symlink():
        raise StoreUnavailable(
            f"{path} was not written",
            why="config path is a symlink; set ENGINE_CONFIG_PATH to the real file",
            fix=f"export ENGINE_CONFIG_PATH={path.resolve()}",
        )
    old = path.read_bytes() if path.exists() else b""
    before = digest(old)
    if base_hash is not None and base_hash != before:
        raise Conflict(
            "the config was not written",
            why="it changed since it was read",
            fix="read it again and repeat the change",
            currentHash=before,
        )
    text = old.decode("utf-8")
    try:
        new_text = edit(text)
    except Json5Error as error:
        place = Place(path.name, error.line, error.column)
        raise refuse(path, [Issue(path="", message=error.message, place=place)]) from error
    if new_text == text and path.exists():
        return Written(changed=False, line="No change", text=text, old_hash=before, new_hash=before)
    if version is not None:
        new_text = _stamped(new_text, version, now)
    new = new_text.encode("utf-8")
    try:
        if not replace:
            _refuse_loss(old, new)
        validate(new)
    except EngineError:
        _reject(path, new, now)
        raise
    return _commit(path, old, new, before)


def _commit(path: Path, old: bytes, new: bytes, before: str) -> Written:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    backup = path.with_name(path.name + ".bak")
    if old:
        _rotate(path)
        put(backup, old)
    put(path, new)
    after = digest(new)
    line = f"Config overwrite: {path} (sha256 {before} -> {after}, backup={backup})"
    return Written(
        changed=True, line=line, text=new.decode("utf-8"), old_hash=before, new_hash=after
    )


def digest(raw: bytes) -> str:
    """sha256 of a file's bytes, hex."""
    return hashlib.sha256(raw).hexdigest()


def put(path: Path, raw: bytes) -> None:
    """Write a file so that a reader sees the old or the new one, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreUnavailable(
            f"{path} was not written", why=error.strerror or str(error), fix=f"ls -ld {path.parent}"
        ) from error
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _rotate(path: Path) -> None:
    names = [path.with_name(path.name + ".bak")]
    names += [path.with_name(f"{path.name}.bak.{n}") for n in range(1, BACKUPS)]
    for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
        if newer.exists():
            newer.replace(older)


def _reject(path: Path, raw: bytes, now: datetime) -> None:
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(path.with_name(f"{path.name}.rejected.{stamp}"), raw)
    kept = sorted(path.parent.glob(f"{path.name}.rejected.*"))
    for stale in kept[:-KEEP_REJECTED]:
        stale.unlink(missing_ok=True)


def _refuse_loss(old: bytes, new: bytes) -> None:
    """A write that drops `gateway.mode` or halves the file needs to be meant."""
    if not old.strip():
        return
    why = ""
    if _mode(old) is not None and _mode(new) is None:
        why = "it would drop gateway.mode, and the gateway would not start"
    elif len(old) > 400 and len(new) * 2 < len(old):
        why = f"it would shrink the file from {len(old)} to {len(new)} bytes"
    if why:
        raise InvalidInput("the config was not written", why=why, fix="repeat it with --replace")


def _mode(raw: bytes) -> Node | None:
    try:
        return find(_document(raw).root, ("gateway", "mode"))
    except Json5Error:
        return None


def _document(raw: bytes) -> Document:
    return parse(raw.decode("utf-8"))


def _stamped(text: str, version: str, now: datetime) -> str:
    document = parse(text if text.strip() else "{}")
    meta = document.root.member("meta")
    if document.root.member(INCLUDE) or (meta and meta.node.member(INCLUDE)):
        return text
    text = set_text(text, "meta.lastTouchedVersion", version)
    return set_text(text, "meta.lastTouchedAt", now.strftime("%Y-%m-%dT%H:%M:%SZ"))
