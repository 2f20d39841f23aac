"""One tree out of a file and what it includes, with `${NAME}` filled in (operations.md §2.4-5)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from engine.config.issues import MISSING, Issue
from engine.config.json5 import Document, Json5Error, Member, Node, Place, parse
from engine.config.keypath import join
from engine.config.variables import expand

MAX_BYTES: Final = 1_048_576
MAX_NESTING: Final = 10
INCLUDE: Final = "$include"


@dataclass(slots=True)
class Composer:
    """Reads files and collects what is wrong with them."""

    root: Path  # directory of the main file
    extra_roots: Sequence[Path] = ()
    read: Callable[[Path], bytes] = Path.read_bytes
    issues: list[Issue] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    overridden: list[tuple[str, Node]] = field(default_factory=list)  # plain, beside a reference

    def compose(self, path: Path, raw: bytes | None = None) -> Node | None:
        """The tree of a file with its includes merged; None when it cannot be read."""
        document = self.document(path, raw)
        if document is None:
            return None
        return self._resolved(document.root, path, (path.resolve(),))

    def document(self, path: Path, raw: bytes | None = None) -> Document | None:
        """Read one file; what is wrong with it is collected, and it is None."""
        name = self.name(path)
        try:
            text = decode(self.read(path) if raw is None else raw)
            document = parse(text, name)
        except Json5Error as error:
            place = Place(name, error.line, error.column)
            self.issues.append(Issue(path="", message=error.message, code="syntax", place=place))
            return None
        except OSError as error:
            reason = error.strerror or str(error)
            self.refuse("", f"cannot read {name}: {reason}", "unreadable", Place(name, 1, 1))
            return None
        self.files.append(path)
        for twice in document.duplicates:
            first, second = twice.first.line, twice.second.line
            lines = f"line {first}" if first == second else f"lines {first} and {second}"
            message = f'duplicate key "{twice.key}" ({lines}): keep one of them'
            self.refuse(join(twice.path, twice.key), message, "duplicate", twice.second)
        return document

    def name(self, path: Path) -> str:
        """Return how messages name a file: as seen from the config's directory."""
        try:
            return str(path.relative_to(self.root))
        except ValueError:
            return str(path)

    def refuse(self, path: str, message: str, code: str, place: Place) -> None:
        """Collect one thing that is wrong."""
        self.issues.append(Issue(path=path, message=message, code=code, place=place))

    def _resolved(self, node: Node, path: Path, chain: tuple[Path, ...], key: str = "") -> Node:
        if node.kind == "array":
            items = (
                self._resolved(one, path, chain, join(key, n)) for n, one in enumerate(node.items)
            )
            return replace(node, items=tuple(items))
        if node.kind != "object":
            return node
        members = tuple(
            replace(m, node=self._resolved(m.node, path, chain, join(key, m.key)))
            for m in node.members
            if m.key != INCLUDE
        )
        own = replace(node, members=members)
        wish = node.member(INCLUDE)
        if wish is None:
            return own
        base: Node | None = None
        for name in self._names(wish):
            part = self._included(name, wish, path, chain, key)
            if part is not None:
                base = part if base is None else merge(base, part, self.overridden, key)
        if base is None or not members:
            return base or own
        return merge(base, own, self.overridden, key)

    def _names(self, wish: Member) -> list[str]:
        value = wish.node.plain()
        names = [value] if isinstance(value, str) else value
        if isinstance(names, list) and names and all(isinstance(n, str) for n in names):
            return names
        self.refuse(INCLUDE, "expected a file name or a list of file names", "include", wish.place)
        return []

    def _included(
        self, name: str, wish: Member, path: Path, chain: tuple[Path, ...], key: str
    ) -> Node | None:
        target = (path.parent / name).resolve()
        problem = self._objection(target, name, chain)
        if problem:
            self.refuse(INCLUDE, problem, "include", wish.node.place)
            return None
        document = self.document(target)
        if document is None:
            return None
        return self._resolved(document.root, target, (*chain, target), key)

    def _objection(self, target: Path, name: str, chain: tuple[Path, ...]) -> str | None:
        if target in chain:
            loop = " -> ".join(p.name for p in (*chain, target))
            return f"include cycle: {loop}"
        if len(chain) > MAX_NESTING:
            return f"includes are nested more than {MAX_NESTING} deep at {name}"
        roots = [self.root.resolve(), *(r.resolve() for r in self.extra_roots)]
        if not any(target.is_relative_to(root) for root in roots):
            where = "outside the config directory; add its directory to ENGINE_INCLUDE_ROOTS"
            return f'"{name}" lies {where}'
        return None


def decode(raw: bytes) -> str:
    """UTF-8 text of at most 1 MiB; a byte order mark stays, the parser skips it."""
    if len(raw) > MAX_BYTES:
        raise Json5Error(f"larger than 1 MiB ({len(raw)} bytes): split it with $include", 1, 1)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Json5Error("not UTF-8 text", line, 1) from error


def digest(raw: bytes) -> str:
    """sha256 of a file's bytes, hex."""
    return hashlib.sha256(raw).hexdigest()


def merge(base: Node, over: Node, lost: list[tuple[str, Node]], path: str = "") -> Node:
    """Objects merge deep, later wins; everything else is replaced.

    But a reference to a secret is not given up for a plain one, nor the other way round: it
    wins, and what it wins over is ``lost`` (operations.md §5).
    """
    for ref, plain in ((base, over), (over, base)):
        if _refers(ref) and isinstance(plain.value, str):
            lost.append((path, plain))
            return ref
    if base.kind != "object" or over.kind != "object":
        return over
    members = {m.key: m for m in base.members}
    for member in over.members:
        old = members.get(member.key)
        if old is not None:
            below = join(path, member.key)
            member = replace(member, node=merge(old.node, member.node, lost, below))
        members[member.key] = member
    return replace(over, members=tuple(members.values()))


def _refers(node: Node) -> bool:
    return node.kind == "object" and {"source", "id"} <= {member.key for member in node.members}


def substitute(node: Node, env: Mapping[str, str], issues: list[Issue], path: str = "") -> Node:
    """Fill in `${NAME}`; inside `cron.jobs` only check, those are filled in when the job runs."""
    if node.kind == "object":
        members = tuple(
            replace(m, node=substitute(m.node, env, issues, join(path, m.key)))
            for m in node.members
        )
        return replace(node, members=members)
    if node.kind == "array":
        items = tuple(
            substitute(item, env, issues, join(path, n)) for n, item in enumerate(node.items)
        )
        return replace(node, items=items)
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    missing: dict[str, None] = {}
    text = expand(node.value, env, lambda name: missing.setdefault(name))
    issues += [_missing(name, path, node) for name in missing]
    return node if path.startswith("cron.jobs") else replace(node, value=text)


def _missing(name: str, path: str, node: Node) -> Issue:
    return Issue(
        path=path,
        message=f"${{{name}}} is not set: export {name}, or put it into .env beside the config",
        code=MISSING,
        place=node.place,
    )
