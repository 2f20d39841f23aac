"""Which file an edit belongs to: a section that is another file's is changed there.

operations.md §2.4: a write that touches a section backed by one included file edits that file;
where the whole config is included, or several files make up a section, or keys stand beside the
include, there is no one place to write, and the refusal names the file to edit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.config.compose import INCLUDE, decode
from engine.config.edit import find
from engine.config.json5 import Member, Node, parse
from engine.config.keypath import Part, parse_path, written
from jobs.errors import InvalidInput

Read = Callable[[Path], bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """The file to edit, and the path of the key inside it; '' is the whole file."""

    file: Path
    path: str


def target(main: Path, text: str, path: str, read: Read = Path.read_bytes) -> Target:
    """Return where the key at ``path`` is written."""
    return _target(main, text, parse_path(path), path, read, outermost=True)


def common(
    main: Path, text: str, paths: Iterable[str], read: Read = Path.read_bytes
) -> tuple[Path, list[str]]:
    """The one file in which all these keys are written, and their paths in it.

    A write is one file or none: keys of several files are refused.
    """
    found = [target(main, text, path, read) for path in paths]
    files = list(dict.fromkeys(one.file for one in found))
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise InvalidInput(
            "the config was not written",
            why=f"the change touches {names}, and a write is one file",
            fix="change what stands in each file by itself",
        )
    return (files[0] if files else main), [one.path for one in found]


def _target(
    file: Path, text: str, parts: tuple[Part, ...], asked: str, read: Read, *, outermost: bool
) -> Target:
    root = parse(text if text.strip() else "{}").root
    for depth in range(len(parts) + 1):
        node = find(root, parts[:depth])
        wish = node.member(INCLUDE) if node is not None else None
        if node is None or wish is None:
            continue
        name = _single(node, wish)
        if name is None or (depth == 0 and outermost):
            raise _refused(asked, wish)
        inner = (file.parent / name).resolve()
        return _target(inner, decode(read(inner)), parts[depth:], asked, read, outermost=False)
    return Target(file, written(parts))


def _single(node: Node, wish: Member) -> str | None:
    name = wish.node.plain()
    return name if isinstance(name, str) and len(node.members) == 1 else None


def _refused(path: str, wish: Member) -> InvalidInput:
    files = wish.node.plain()
    shown = files if isinstance(files, str) else ", ".join(map(str, files))
    return InvalidInput(
        f"{path} was not changed", why=f"it comes from {shown}", fix=f"edit {shown}"
    )
