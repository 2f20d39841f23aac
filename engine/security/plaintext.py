"""Secrets that stand in files as they are: where, and what else is amiss with references. Pure.

operations.md §5, `secrets audit`: `PLAINTEXT_FOUND`, `REF_UNRESOLVED`, `REF_SHADOWED`,
`LEGACY_RESIDUE`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from engine.config.keypath import Key, dotted, parse_path
from engine.config.masks import is_marker, is_secret, masked
from engine.config.schema import Config
from engine.config.walk import Shape, step

VERSION: Final = 1
_OWN: Final = frozenset({"TELEGRAM_BOT_TOKEN", "QQBOT_CLIENT_SECRET"})  # read without being named
CLEAN: Final = "clean"
FINDINGS: Final = "findings"
UNRESOLVED: Final = "unresolved"
STATUS: Final = {CLEAN: 0, FINDINGS: 1, UNRESOLVED: 2}  # exit statuses of `--check`


class Code(StrEnum):
    """What is wrong."""

    PLAINTEXT_FOUND = "PLAINTEXT_FOUND"
    REF_UNRESOLVED = "REF_UNRESOLVED"
    REF_SHADOWED = "REF_SHADOWED"
    LEGACY_RESIDUE = "LEGACY_RESIDUE"

    @property
    def severity(self) -> str:
        """How bad it is."""
        return "error" if self is Code.REF_UNRESOLVED else "warn"

    @property
    def counted(self) -> str:
        """Its name in the summary."""
        head, *rest = self.value.lower().split("_")
        return head + "".join(word.title() for word in rest) + "Count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A secret that stands there as it is."""

    path: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One finding; it holds no value."""

    code: Code
    file: str
    path: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "code": self.code.value,
            "severity": self.code.severity,
            "file": self.file,
            "jsonPath": self.path,
            "message": self.message,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was looked at, and what was found."""

    flaws: tuple[Flaw, ...]
    files: tuple[str, ...]
    refs_checked: int = 0
    skipped_exec_refs: int = 0

    @property
    def status(self) -> str:
        """The worst of it in a word."""
        if any(one.code is Code.REF_UNRESOLVED for one in self.flaws):
            return UNRESOLVED
        return FINDINGS if self.flaws else CLEAN

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "version": VERSION,
            "status": self.status,
            "resolution": {
                "refsChecked": self.refs_checked,
                "skippedExecRefs": self.skipped_exec_refs,
                "resolvabilityComplete": not self.skipped_exec_refs,
            },
            "filesScanned": list(self.files),
            "summary": {code.counted: sum(one.code is code for one in self.flaws) for code in Code},
            "findings": [one.to_json() for one in self.flaws],
        }


def spots(config: Any) -> Iterator[Spot]:
    """Every secret of a config that stands there as it is."""
    for key, value in _texts(config, ()):
        names = [part for part in key if isinstance(part, str)]
        if "${" not in value and not is_marker(value) and masked(value, *names) != value:
            yield Spot(path=dotted(key), value=value)


def _texts(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    match value:
        case Mapping():
            if {"source", "id"} <= set(value):
                return  # it says where a secret is
            for name, inner in value.items():
                yield from _texts(inner, (*key, str(name)))
        case list() | tuple():
            for n, inner in enumerate(value):
                yield from _texts(inner, (*key, n))
        case str() if value.strip():
            yield key, value
        case _:
            pass


def may_refer(path: str) -> bool:
    """Whether a reference may stand at a path: what is typed as a secret, and no other text."""
    here: Shape | None = Shape("section", model=Config)
    for part in parse_path(path):
        if here is None or not isinstance(part, str | int):
            return False
        here = step(here, part)
    return here is not None and here.kind == "secret"


def in_config(file: str, config: Any) -> Iterator[Flaw]:
    """What stands in the config itself, or in a file it includes."""
    for spot in spots(config):
        way = "a reference" if may_refer(spot.path) else "${NAME}"
        yield Flaw(
            code=Code.PLAINTEXT_FOUND,
            file=file,
            path=spot.path,
            message=f"a secret stands here as it is; write {way} instead",
        )


def in_copy(file: str, copy: Any, moved: Collection[str]) -> Iterator[Flaw]:
    """What stands in an older copy; of a secret that was ``moved`` it is what was left behind."""
    for spot in spots(copy):
        gone = spot.path in moved
        yield Flaw(
            code=Code.LEGACY_RESIDUE if gone else Code.PLAINTEXT_FOUND,
            file=file,
            path=spot.path,
            message="the config has a reference here, and this copy still the secret"
            if gone
            else "a copy of the config holds this secret as it is",
        )


def in_env(file: str, variables: Mapping[str, str], used: Collection[str]) -> Iterator[Flaw]:
    """Variables that hold a secret nothing asks for: what is referred to is where it belongs."""
    for name, value in variables.items():
        known = name in used or name in _OWN or name.startswith("ENGINE_")
        if value and is_secret(name) and not known:
            yield Flaw(
                code=Code.PLAINTEXT_FOUND,
                file=file,
                path=name,
                message="nothing in the config asks for this variable; take it out, or refer to it",
            )


def shadowed(file: str, path: str, why: str) -> Flaw:
    """A reference that has no effect, because something else is used."""
    return Flaw(code=Code.REF_SHADOWED, file=file, path=path, message=why)


def unresolved(file: str, path: str, why: str) -> Flaw:
    """A reference that leads nowhere."""
    return Flaw(code=Code.REF_UNRESOLVED, file=file, path=path, message=why)


def in_order(flaws: Sequence[Flaw]) -> tuple[Flaw, ...]:
    """Errors first, then as they were found."""
    return tuple(sorted(flaws, key=lambda one: one.code.severity != "error"))
