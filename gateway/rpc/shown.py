"""What of a conversation fits into one answer (protocol.md §6, `chat.history`). Pure.

The oldest lines go first. One line that is too large by itself does not take the others with it:
a placeholder stands for it, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.messages.media import size_words
from gateway.protocol import frames

MOST: Final = 6 * 1024 * 1024  # bytes of the answer's messages
LARGEST: Final = 1024 * 1024  # bytes of one message
_CUT: Final = "\n...(truncated)..."


def fitted(
    messages: Sequence[Mapping[str, Any]], *, room: int = MOST, max_chars: int | None = None
) -> list[Mapping[str, Any]]:
    """Return the newest messages that fit, oldest first; texts are cut to ``max_chars``."""
    kept: list[Mapping[str, Any]] = []
    for message in reversed(messages):
        shown, size = _one(message if max_chars is None else _cut(message, max_chars))
        room -= size
        if room < 0:
            break
        kept.append(shown)
    return kept[::-1]


def _one(message: Mapping[str, Any]) -> tuple[Mapping[str, Any], int]:
    size = len(frames.encode(message))
    if size <= LARGEST:
        return message, size
    words = f"[a message of {size_words(size)} is left out: it is too large to show here]"
    short = {**message, "content": [{"type": "text", "text": words}], "truncated": True}
    return short, len(frames.encode(short))


def _cut(message: Mapping[str, Any], most: int) -> Mapping[str, Any]:
    parts = message.get("content") or ()
    if all(len(part.get("text") or "") <= most for part in parts):
        return message
    return {**message, "content": [_part(part, most) for part in parts], "truncated": True}


def _part(part: Mapping[str, Any], most: int) -> Mapping[str, Any]:
    text = part.get("text") or ""
    return part if len(text) <= most else {**part, "text": text[:most] + _CUT}
