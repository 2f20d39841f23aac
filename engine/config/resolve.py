"""Secret references become values, once, before anything uses the config (operations.md §5).

All of them or none: what could not be resolved is told reference by reference, and never a
value. Of what nobody will use nothing is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from engine.config.inactive import Unused, unused
from engine.config.issues import Issue
from engine.config.json5 import Node
from engine.config.keypath import join
from engine.config.providers import Book, Unresolved
from engine.config.schema import Config
from engine.config.secrets import Secret, SecretRef, secret
from engine.config.walk import ANYTHING, Shape, keys_of

_REF: Final = frozenset({"source", "provider", "id"})
_ELSEWHERE: Final = ("secrets", "cron.jobs")  # references here are no values of the config


@dataclass(frozen=True, slots=True)
class Use:
    """One reference where it stands."""

    path: str
    ref: SecretRef
    node: Node
    unused: str = ""  # why nobody will use it


@dataclass(slots=True)
class Resolver:
    """Looks up references; unless enabled it only reads plain secrets."""

    env: Mapping[str, str]
    directory: Path
    enabled: bool = True
    programs: bool = True  # False: providers that are programs are not asked
    inactive: list[Use] = field(default_factory=list)  # references nobody will use
    asked: list[Use] = field(default_factory=list)
    values_by_path: dict[str, str] = field(default_factory=dict)  # of references that led to one
    skipped: list[Use] = field(default_factory=list)  # by programs that were not run

    def resolve(self, root: Node, issues: list[Issue]) -> Node:
        """The tree with every reference replaced by its value."""
        if not self.enabled:
            return root
        uses = list(references(root, unused(root.plain(), self.env), issues))
        self.inactive = [use for use in uses if use.unused]
        self.asked = [use for use in uses if not use.unused]
        book = self._book(root)
        answers = book.look_up([use.ref for use in self.asked])
        values = self.values_by_path
        for use in self.asked:
            match answers[use.ref]:
                case str(value):
                    values[use.path] = value
                case Unresolved() as error if error.skipped:
                    self.skipped.append(use)
                case error:
                    issues.append(_unresolved(use, book, error))
        return _filled(root, "", values)

    def _book(self, root: Node) -> Book:
        plain = root.plain()
        section = plain.get("secrets") if isinstance(plain, Mapping) else None
        return Book.of(section, self.env, self.directory, programs=self.programs)

    def values(self, root: Node) -> Iterator[str]:
        """Every plain or resolved secret of the tree, for the redactor."""
        yield from _values(root, Shape("section", model=Config))


def _unresolved(use: Use, book: Book, error: object) -> Issue:
    named = book.named(use.ref)
    where = f"{named.source}:{named.provider}:{named.id}"
    return Issue(
        path=use.path,
        message=f"secret {where} was not resolved: {error}",
        code="secret",
        place=use.node.place,
    )


def references(root: Node, without: Unused, issues: list[Issue] | None = None) -> Iterator[Use]:
    """Every reference of a tree; malformed ones are told."""
    for path, node, off in _objects(root, "", ""):
        try:
            ref = secret(node.plain()).ref
        except ValueError as error:
            if issues is not None:
                issues.append(Issue(path=path, message=str(error), code="secret", place=node.place))
            continue
        if ref is not None:
            yield Use(path, ref, node, off or without.get(path, ""))


def _objects(node: Node, path: str, off: str) -> Iterator[tuple[str, Node, str]]:
    """Every object that looks like a reference, and why nobody will use it."""
    if node.kind == "array":
        for n, item in enumerate(node.items):
            yield from _objects(item, join(path, n), off)
    if node.kind != "object" or path.startswith(_ELSEWHERE):
        return
    if is_reference(node):
        yield path, node, off
        return
    switch = node.member("enabled")
    if path and switch is not None and switch.node.value is False:
        off = f"{path} is switched off"
    for member in node.members:
        yield from _objects(member.node, join(path, member.key), off)


def is_reference(node: Node) -> bool:
    """Whether an object is a reference and nothing else."""
    return node.kind == "object" and {"source", "id"} <= {m.key for m in node.members} <= _REF


def _filled(node: Node, path: str, values: Mapping[str, str]) -> Node:
    if path in values:
        return Node("scalar", node.source, node.start, node.end, value=values[path])
    if node.kind == "array":
        items = tuple(_filled(one, join(path, n), values) for n, one in enumerate(node.items))
        return replace(node, items=items)
    if node.kind == "object":
        members = tuple(
            replace(m, node=_filled(m.node, join(path, m.key), values)) for m in node.members
        )
        return replace(node, members=members)
    return node


def _values(node: Node, here: Shape) -> Iterator[str]:
    if here.kind == "secret" and node.kind == "scalar" and isinstance(node.value, str):
        yield node.value
    elif node.kind == "array" and here.inner is not None:
        for item in node.items:
            yield from _values(item, here.inner)
    elif node.kind == "object":
        own = keys_of(here.model) if here.model else {}
        for member in node.members:
            yield from _values(member.node, own.get(member.key) or here.inner or ANYTHING)


__all__ = ["Resolver", "Secret", "Unresolved", "Use", "is_reference", "references"]
