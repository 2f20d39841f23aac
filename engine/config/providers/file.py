"""Secrets in a file: JSON with pointers, or the whole of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import Any, Final

from engine.config.providers import Book, Found, Unresolved, number

_MAX_BYTES: Final = 1_048_576
_TIMEOUT_MS: Final = 5000


def look_up(book: Book, alias: str, provider: Mapping[str, Any], ids: Sequence[str]) -> Found:
    """Read the file once and take every id out of it."""
    given = provider.get("path")
    if not isinstance(given, str) or not given:
        raise Unresolved(f'secrets.providers.{alias} has no "path"')
    path = book.directory / Path(given).expanduser()
    limit = number(provider, "timeoutMs", _TIMEOUT_MS)
    raw = _in_time(lambda: _read(path, provider), limit, path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unresolved(f"{path} is not UTF-8 text") from None
    if provider.get("mode") == "singleValue":
        value = text.strip()
        return {one: value or Unresolved(f"{path} is empty") for one in ids}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # its words would quote the file
        raise Unresolved(f"{path} is not JSON") from None
    return {one: _taken(document, one) for one in ids}


def _in_time(read: Callable[[], bytes], limit_ms: int, path: Path) -> bytes:
    """A file system that hangs must not hang the start."""
    got: list[bytes | Unresolved] = []

    def work() -> None:
        try:
            got.append(read())
        except Unresolved as error:
            got.append(error)

    thread = Thread(target=work, name="secret-file", daemon=True)
    thread.start()
    thread.join(limit_ms / 1000)
    if not got:
        raise Unresolved(f"{path} could not be read within {limit_ms} ms")
    if isinstance(got[0], Unresolved):
        raise got[0]
    return got[0]


def _read(path: Path, provider: Mapping[str, Any]) -> bytes:
    most = number(provider, "maxBytes", _MAX_BYTES)
    try:
        # Not blocking: what lies there may be a pipe nobody writes to.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unresolved(f"{path} cannot be read: {error.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Unresolved(f"{path} is not a regular file")
        if provider.get("allowInsecurePath") is not True and (why := insecure(path, status)):
            raise Unresolved(why)
        try:
            raw = file.read(most + 1)
        except OSError as error:
            raise Unresolved(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > most:
        raise Unresolved(f"{path} is larger than {most} bytes (maxBytes)")
    return raw


def insecure(path: Path, status: os.stat_result) -> str:
    """Why others could put their own words here; '' if they cannot."""
    if status.st_uid not in (0, os.getuid()):
        return f"{path} belongs to another user (uid {status.st_uid})"
    if status.st_mode & 0o022:
        return f"{path} can be written by others; run: chmod go-w {path}"
    return ""


def _taken(document: Any, path: str) -> str | Unresolved:
    try:
        return pointer(document, path)
    except Unresolved as error:
        return error


def pointer(document: Any, path: str) -> str:
    """The text at an RFC 6901 pointer."""
    here = document
    for part in path.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, list) and name.isdecimal() and int(name) < len(here):
            here = here[int(name)]
        elif isinstance(here, dict) and name in here:
            here = here[name]
        else:
            raise Unresolved(f"nothing at {path}")
    if not isinstance(here, str) or not here:
        raise Unresolved(f"no text at {path}")
    return here
