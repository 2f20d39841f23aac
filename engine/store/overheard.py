"""What was said in a group to nobody in particular, until somebody asks (channels.md §3.3)."""

from __future__ import annotations

import json
from typing import Final

from engine.messages.said import OVERHEARD_MOST
from engine.store import meta
from jobs.store.db import Tx

_KEY: Final = "overheard:"


def keep(tx: Tx, chat: str, speaker: str, text: str, limit: int) -> None:
    """Keep one message, and of those before it as many as ``limit`` leaves room for."""
    if limit <= 0:
        meta.drop(tx, _KEY + chat)
        return
    kept = [*_kept(tx, chat), (speaker, text[:OVERHEARD_MOST])][-limit:]
    meta.put(tx, _KEY + chat, json.dumps(kept, ensure_ascii=False))


def take(tx: Tx, chat: str, limit: int) -> tuple[tuple[str, str], ...]:
    """Return what was said since the last question, oldest first; it is not said again."""
    kept = _kept(tx, chat)
    if kept:
        meta.drop(tx, _KEY + chat)
    return tuple(kept[-limit:]) if limit > 0 else ()


def _kept(tx: Tx, chat: str) -> list[tuple[str, str]]:
    text = meta.get(tx, _KEY + chat)
    return [] if text is None else [(speaker, said) for speaker, said in json.loads(text)]
