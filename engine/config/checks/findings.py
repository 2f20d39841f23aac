"""Collects what is found about one config, each finding with its place in the file."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.config.issues import Issue, Note
from engine.config.json5 import Node, Place, locate
from engine.config.keypath import Key, dotted
from engine.config.schema import Config


@dataclass(slots=True)
class Check:
    """Collects findings about one config."""

    config: Config
    root: Node
    issues: list[Issue] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def refuse(self, key: Key, message: str, code: str = "invalid", *allowed: str) -> None:
        """The file cannot be used."""
        self.issues.append(
            Issue(
                path=dotted(key),
                message=message,
                code=code,
                place=self._place(key),
                allowed=allowed,
            )
        )

    def warn(self, key: Key, code: str, message: str) -> None:
        """The file can be used, and somebody should know."""
        self.notes.append(
            Note(
                code=code,
                path=dotted(key),
                message=message,
                level="warning",
                place=self._place(key),
            )
        )

    def _place(self, key: Key) -> Place:
        return locate(self.root, key)[1].place
