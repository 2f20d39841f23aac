"""Commands that wait for a person's yes, at rest: facts of the home, few and short-lived."""

from __future__ import annotations

from typing import Final

from engine.decisions.asked import Question, question_of
from engine.store import meta
from jobs.store.db import Tx
from jobs.store.rows import mapping_of, text_of

_KEY: Final = "approval:"


def put(tx: Tx, asked: Question) -> None:
    """Keep a question as it is now."""
    meta.put(tx, _KEY + asked.id, _text(asked))


def change(tx: Tx, was: Question, to: Question) -> bool:
    """Keep what became of a question that is as it was; of two who decide one is too late."""
    return meta.change(tx, _KEY + was.id, _text(was), _text(to))


def get(tx: Tx, ident: str) -> Question | None:
    """Return one."""
    text = meta.get(tx, _KEY + ident)
    return None if text is None else question_of(mapping_of(text))


def every(tx: Tx) -> list[Question]:
    """Return all there are, oldest first."""
    found = [question_of(mapping_of(text)) for text in meta.below(tx, _KEY).values()]
    return sorted(found, key=lambda one: (one.asked_at, one.id))


def drop(tx: Tx, ident: str) -> None:
    """Forget one."""
    meta.drop(tx, _KEY + ident)


def _text(asked: Question) -> str:
    return text_of(asked.to_json()) or ""
