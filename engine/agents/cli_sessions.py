"""Which conversation of a program goes on: its ids, while ours and its agree (operations.md §13.4).

Kept in memory: after a restart, or when our transcript says something else than the program
heard last, the program is told what was said instead, and begins a conversation of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from engine.sessions import Message

_MOST: Final = 1000  # conversations remembered; the oldest is forgotten


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation at the program."""

    ident: str
    said: str  # its last answer, by which ours is known to be the same


@dataclass(slots=True)
class Talks:
    """The conversations of one program."""

    _known: dict[str, Talk] = field(default_factory=dict)

    def going_on(self, key: str, history: Sequence[Message]) -> str | None:
        """Return the id under which the program knows what was said before; None: it does not."""
        talk = self._known.get(key)
        answers = [one.text.strip() for one in history if one.role == "assistant"]
        if talk is None or not answers or answers[-1] != talk.said:
            return None
        return talk.ident

    def keep(self, key: str, ident: str, said: str) -> None:
        """Remember where a conversation stands."""
        self._known.pop(key, None)
        self._known[key] = Talk(ident, said.strip())
        while len(self._known) > _MOST:
            self._known.pop(next(iter(self._known)))

    def forget(self, key: str) -> None:
        """It went wrong: the next turn begins anew."""
        self._known.pop(key, None)


def new_ident() -> str:
    """Return an id for a conversation that begins."""
    return str(uuid4())


def filled(words: Sequence[str], ident: str) -> list[str]:
    """Return arguments with the id in its place."""
    return [word.replace("{sessionId}", ident) for word in words]


def ident_in(documents: Sequence[Any], fields: Sequence[str]) -> str | None:
    """Return the id a program told, by the first field that holds one."""
    for name in fields:
        for document in documents:
            value = document.get(name) if isinstance(document, Mapping) else None
            if isinstance(value, str) and value.strip():
                return value.strip()
    return None


def answers(document: Any) -> Iterator[Any]:
    """Yield what of a document may hold an answer: of events only what the agent said."""
    if isinstance(document, Mapping) and isinstance(item := document.get("item"), Mapping):
        if item.get("type", "agent_message") in ("agent_message", "assistant_message", "message"):
            yield item
        return
    if isinstance(document, Mapping) and document.get("type") in ("system", "error", "thread"):
        return
    yield document
