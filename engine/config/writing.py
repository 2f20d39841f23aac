"""Writes the config file: all or nothing, with backups (operations.md §3)."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.config.compose import INCLUDE, decode, digest
from engine.config.edit import find, set_text
from engine.config.issues import Issue, refuse
from engine.config.json5 import Json5Error, Node, Place, parse
from engine.config.keeping import guard
from jobs.errors import ConfigInvalid, Conflict, EngineError, InvalidInput, StoreUnavailable

BACKUPS: Final = 5
KEEP_REJECTED: Final = 10


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

    One writer at a time. A result that does not validate is kept beside it as
    `.rejected.<time>` and the active file is not touched. ``version`` stamps `meta`, and
    refuses a file that a newer one wrote (operations.md §3, §3.1).
    """
    _refuse_symlink(path)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(path.parent):
        return _written(
            path, edit, validate=validate, now=now, version=version, base_hash=base_hash,
            replace=replace,
        )  # fmt: skip


def _written(
    path: Path,
    edit: Edit,
    *,
    validate: Validate,
    now: datetime,
    version: str | None,
    base_hash: str | None,
    replace: bool,
) -> Written:
    old = path.read_bytes() if path.exists() else b""
    before = digest(old)
    if base_hash is not None and base_hash != before:
        raise Conflict(
            "the config was not written",
            why="it changed since it was read",
            fix="read it again and repeat the change",
            currentHash=before,
        )
    text = decoded(path, old)
    if version is not None:
        guard.refuse_older(_values(text), os.environ, version=version)
    new_text = applied(path, edit, text)
    if new_text == text and path.exists():
        return Written(changed=False, line="No change", text=text, old_hash=before, new_hash=before)
    if version is not None:
        new_text = _stamped(new_text, version, now)
    new = new_text.encode("utf-8")
    try:
        if not replace:
            _refuse_loss(old, new)
        validate(new)
    except ConfigInvalid as error:
        raise unwritten(path, error, kept=_reject(path, new, now)) from error
    except EngineError:
        _reject(path, new, now)
        raise
    return _commit(path, old, new, before)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One writer at a time; the lock is the folder's own and leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _refuse_symlink(path: Path) -> None:
    if path.is_symlink():
        raise StoreUnavailable(
            f"{path} was not written",
            why="config path is a symlink; set ENGINE_CONFIG_PATH to the real file",
            fix=f"export ENGINE_CONFIG_PATH={path.resolve()}",
        )


def decoded(path: Path, raw: bytes) -> str:
    """The text of a file; bytes that are none, or too many, are refused with their line."""
    try:
        return decode(raw)
    except Json5Error as error:
        place = Place(path.name, error.line, error.column)
        raise refuse(path, [Issue(path="", message=error.message, place=place)]) from error


def _values(text: str) -> Mapping[str, Any]:
    try:
        plain = parse(text if text.strip() else "{}").root.plain()
    except Json5Error:
        return {}
    return plain if isinstance(plain, Mapping) else {}


def applied(path: Path, edit: Edit, text: str) -> str:
    """The text after the edit; a file that cannot be read is refused with its line."""
    try:
        return edit(text)
    except Json5Error as error:
        place = Place(path.name, error.line, error.column)
        raise refuse(path, [Issue(path="", message=error.message, place=place)]) from error


def refuse_unreadable(path: Path, text: str) -> None:
    """Refuse a text that is no JSON5, with its line."""
    applied(path, lambda old: parse(old or "{}").source.text, text)


def unwritten(path: Path, error: ConfigInvalid, *, kept: Path | None = None) -> ConfigInvalid:
    """Say of a change that it is invalid, not of the file; its lines are those of ``kept``."""
    found = error.detail.get("issues")
    issues = [_elsewhere(one, path, kept) for one in found] if isinstance(found, list) else []
    lines = [f"{path} was not changed: the change would make it invalid"]
    lines += [f"  × {_said(one)}" for one in issues]
    if not issues and error.why:  # wrong in no place of the file, but no gateway starts with it
        lines.append(f"  × {error.why}")
    if kept is not None:
        lines.append(f"The refused text is in {kept}")
    return ConfigInvalid(
        "\n".join(lines), fix=error.fix, issues=issues, path=str(path), type="config_invalid"
    )


def _elsewhere(issue: dict[str, Any], path: Path, kept: Path | None) -> dict[str, Any]:
    if issue.get("file") != path.name:
        return issue
    if kept is not None:
        return {**issue, "file": kept.name}
    return {key: value for key, value in issue.items() if key not in ("file", "line", "column")}


def _said(issue: dict[str, Any]) -> str:
    message = str(issue["message"])
    path = str(issue["path"])
    return message if not path or message.startswith(path) else f"{path}: {message}"


def _commit(path: Path, old: bytes, new: bytes, before: str) -> Written:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    tidy(path)
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


def tidy(path: Path) -> None:
    """Take away what writers left that were killed: a copy nobody knows, secrets and all.

    Only who is `alone` may.
    """
    for left in path.parent.glob(f".{path.name}*.tmp"):
        pid = left.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdecimal() and not _alive(int(pid)):
            left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _rotate(path: Path) -> None:
    names = [path.with_name(path.name + ".bak")]
    names += [path.with_name(f"{path.name}.bak.{n}") for n in range(1, BACKUPS)]
    for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
        if newer.exists():
            newer.replace(older)


def _reject(path: Path, raw: bytes, now: datetime) -> Path:
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rejected = path.with_name(f"{path.name}.rejected.{stamp}")
    before = sorted(path.parent.glob(f"{path.name}.rejected.*"))
    if before and before[-1].read_bytes() == raw:
        return before[-1]  # the same mistake once more
    put(rejected, raw)
    for stale in sorted({*before, rejected})[:-KEEP_REJECTED]:
        stale.unlink(missing_ok=True)
    return rejected


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
        return find(parse(raw.decode("utf-8")).root, ("gateway", "mode"))
    except Json5Error:
        return None


def _stamped(text: str, version: str, now: datetime) -> str:
    document = parse(text if text.strip() else "{}")
    meta = document.root.member("meta")
    if document.root.member(INCLUDE) or (meta and meta.node.member(INCLUDE)):
        return text
    text = set_text(text, "meta.lastTouchedVersion", version)
    return set_text(text, "meta.lastTouchedAt", now.strftime("%Y-%m-%dT%H:%M:%SZ"))
