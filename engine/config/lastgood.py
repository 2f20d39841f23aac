"""The config that worked last, byte for byte, and its way back (operations.md §4.2).

A valid file is never replaced: only who has seen `load` refuse one may call `put_back`, and
what is put back must load. The broken file is kept as `.clobbered.<time>`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.config import fast
from engine.config.compose import digest
from engine.config.keeping import copies
from engine.config.masks import MARKERS
from engine.config.writing import alone, put, tidy
from jobs.errors import EngineError

_INCLUDED: Final = f"{copies.LAST_GOOD}.includes"  # texts of included files, by their path
_OF: Final = "sha256"  # beside them: of which main file they are
# How far a gateway is heard, from the narrowest.
_WIDTH: Final[Mapping[str, int]] = {"loopback": 0, "custom": 1, "tailnet": 1, "auto": 2, "lan": 2}
_BIND: Final = re.compile(r"""(?<![\w$])["']?bind["']?\s*:\s*["']([^"'\n]*)["']""")
_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Saved:
    """The bytes of the config that worked last, and of what it included."""

    main: bytes
    included: Mapping[Path, bytes] = field(default_factory=dict)


def save(path: Path, known: str, included: Sequence[Path] = ()) -> bool:
    """Keep the file as the last good one, if it still is the one whose hash is ``known``.

    A file that holds a mask in the place of a secret is not kept: it would not work again.
    """
    try:
        main = path.read_bytes()
        texts = {one: one.read_bytes() for one in included}
    except OSError:
        return False
    if digest(main) != known or any(_masked(raw) for raw in (main, *texts.values())):
        return False
    with alone(path.parent):
        tidy(path)
        if Saved(main, texts) != read(path):
            _keep(path, main, texts)
    return True


def _keep(path: Path, main: bytes, texts: Mapping[Path, bytes]) -> None:
    """Two files, one after the other: who dies in between leaves includes of another main file."""
    put(copies.beside(path, copies.LAST_GOOD), main)
    beside = copies.beside(path, _INCLUDED)
    if texts:
        told = {str(one): raw.decode("utf-8") for one, raw in texts.items()}
        put(beside, json.dumps({_OF: digest(main), **told}, ensure_ascii=False).encode())
    else:
        beside.unlink(missing_ok=True)


def _masked(raw: bytes) -> bool:
    return any(f'"{one}"'.encode() in raw or f"'{one}'".encode() in raw for one in MARKERS)


def read(path: Path) -> Saved | None:
    """What was kept last; None if nothing was, or it cannot be read."""
    try:
        main = copies.beside(path, copies.LAST_GOOD).read_bytes()
    except OSError:
        return None
    texts: dict[Path, bytes] = {}
    with suppress(OSError, ValueError, AttributeError):
        told = json.loads(copies.beside(path, _INCLUDED).read_text("utf-8"))
        if told.pop(_OF, digest(main)) == digest(main):
            texts = {Path(name): str(text).encode() for name, text in told.items()}
    return Saved(main, texts)


def fingerprint(path: Path) -> str | None:
    """`lastGoodHash` of `config.get`: sha256 of what was kept last."""
    saved = read(path)
    return None if saved is None else digest(saved.main)


def changed(path: Path, saved: Saved) -> tuple[Path, ...]:
    """The files that are not as they were kept; a symlink is nobody's to replace."""
    files = {path: saved.main, **saved.included}
    return tuple(one for one, raw in files.items() if not one.is_symlink() and _bytes(one) != raw)


def standing(path: Path) -> Mapping[Path, bytes | None]:
    """What stands in the files that `put_back` may replace."""
    saved = read(path)
    return {} if saved is None else {one: _bytes(one) for one in (path, *saved.included)}


def put_back(
    path: Path, saved: Saved, now: datetime, *, seen: Mapping[Path, bytes | None] | None = None
) -> tuple[Path, ...]:
    """Put the kept bytes in the place of broken ones; returns where those are now.

    ``seen`` is what was found broken: files that say something else by now were mended
    meanwhile, and nothing is put back.
    """
    kept = []
    with alone(path.parent):
        if seen is not None and any(_bytes(one) != raw for one, raw in seen.items()):
            return ()
        tidy(path)
        for one in changed(path, saved):
            raw = _bytes(one)
            if raw is not None:
                aside = copies.stamped(one, copies.CLOBBERED, now)
                put(aside, raw)
                kept.append(aside)
            put(one, saved.main if one == path else saved.included[one])
            copies.forget_oldest(one)
    return tuple(kept)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def asked(raw: bytes, moment: str) -> str | None:
    """`gateway.configRecovery.<moment>` as a file says it that may be broken; None: it does not.

    A file that cannot be read as a whole is searched for the word.
    """
    values = fast.decoded(raw)
    found = fast.get(values, f"gateway.configRecovery.{moment}") if values else None
    if isinstance(found, str):
        return found
    text = _COMMENT.sub("", raw.decode("utf-8", "replace"))
    match = re.search(rf"""{moment}["']?\s*:\s*["'](restore|refuse|keep)["']""", text)
    return match[1] if match else None


def widens(broken: bytes, bind: str) -> bool:
    """Whether listening as ``bind`` says is more than the broken file asks for, as far as it tells.

    A file that says nothing of it asks for loopback, the default.
    """
    text = _COMMENT.sub("", broken.decode("utf-8", "replace"))
    wishes = [_WIDTH.get(wish, 0) for wish in _BIND.findall(text)]
    return _WIDTH.get(bind, len(_WIDTH)) > max(wishes, default=0)


def faults(refusal: EngineError) -> str:
    """Where a refused file is wrong, without what stands there: `engine.json:3:4 gateway.port`."""
    return "; ".join(_faults(refusal)) or refusal.what.splitlines()[0]


def _faults(refusal: EngineError) -> Iterator[str]:
    issues: Any = refusal.detail.get("issues")
    if not isinstance(issues, list):
        return
    for issue in issues[:3]:
        where = f"{issue['file']}:{issue['line']}:{issue['column']}" if "file" in issue else ""
        yield f"{where} {issue.get('path') or issue.get('code') or ''}".strip()
    if len(issues) > 3:
        yield f"and {len(issues) - 3} more"
