"""What is wrong with a config file, and what is merely worth knowing (operations.md §2.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.config.json5 import Place
from jobs.errors import ConfigInvalid

NOTHING_CHANGED: Final = "Nothing was changed."
MISSING: Final = "missing-variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One reason why a file cannot be used."""

    path: str  # of the value or key, as `engine config get` takes it
    message: str
    code: str = "invalid"
    place: Place | None = None
    allowed: tuple[str, ...] = ()
    suggestion: str | None = None
    owner: str | None = None  # what the human line starts with, when it is not the path

    @property
    def where(self) -> str:
        """`file:line:column`."""
        at = self.place
        return f"{at.file}:{at.line}:{at.column}" if at else "-"

    def to_json(self) -> dict[str, Any]:
        """The shape of `--json`."""
        row: dict[str, Any] = {"path": self.path, "message": self.message, "code": self.code}
        if self.place:
            row |= {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        if self.allowed:
            row["allowed"] = list(self.allowed)
        if self.suggestion:
            row["suggestion"] = self.suggestion
        return row

    def line(self, width: int) -> str:
        """The human line."""
        owner = self.path if self.owner is None else self.owner
        head = f"{owner}: " if owner else ""
        return f"  × {self.where.ljust(width)}   {head}{self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Worth knowing; the file is valid."""

    code: str  # config.inert_key | config.inert_section | a doctor id
    path: str
    message: str
    level: str = "info"  # info | warning
    place: Place | None = None

    def to_json(self) -> dict[str, Any]:
        """The shape of `--json`."""
        row: dict[str, Any] = {
            "code": self.code,
            "path": self.path,
            "message": self.message,
            "level": self.level,
        }
        if self.place:
            row |= {"file": self.place.file, "line": self.place.line, "column": self.place.column}
        return row


def block(path: Path, issues: Sequence[Issue], *, home: Path | None = None) -> str:
    """The whole refusal, as people read it."""
    shown = str(path)
    if home is not None and path.is_relative_to(home):
        shown = f"~/{path.relative_to(home)}"
    width = max((len(issue.where) for issue in issues), default=0)
    lines = [f"engine config is invalid: {shown}", *(issue.line(width) for issue in issues)]
    mends = any(issue.code != MISSING for issue in issues)  # no doctor knows a secret
    end = "Fix the lines above, or run: engine doctor --fix" if mends else "Fix the lines above."
    return "\n".join([*lines, f"{NOTHING_CHANGED} {end}"])


def refuse(path: Path, issues: Sequence[Issue], *, home: Path | None = None) -> ConfigInvalid:
    """The error to raise: its text is the block, its detail carries the issues."""
    ordered = sorted(issues, key=_order)
    return ConfigInvalid(
        block(path, ordered, home=home),
        issues=[issue.to_json() for issue in ordered],
        path=str(path),
        type="config_invalid",
    )


def _order(issue: Issue) -> tuple[str, int, int]:
    at = issue.place
    return (at.file, at.line, at.column) if at else ("", 0, 0)
