"""Files a client sends along with a message (protocol.md §10.4, §10.6). Pure.

Each is ``{content, fileName?, mimeType?}``: base64, or a data URL. What cannot be read refuses the
whole request before anything begins.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.messages.media import MB, Media, kind_of, plain_name, size_words
from gateway.protocol.errors import Refusal, invalid

MOST: Final = 10
LARGEST: Final = 20 * MB


@dataclass(frozen=True, slots=True)
class Attached:
    """One file, read."""

    media: Media
    content: bytes = field(repr=False)


def attached(given: list[Any] | None) -> tuple[Attached, ...]:
    """Return the files of a request, or refuse it."""
    if given is not None and len(given) > MOST:
        raise invalid(
            f"there are {len(given)} attachments; the most is {MOST}", path="/attachments"
        )
    return tuple(_one(each, number) for number, each in enumerate(given or ()))


def _one(given: object, number: int) -> Attached:
    path = f"/attachments/{number}"
    if not isinstance(given, Mapping) or not isinstance(given.get("content"), str):
        raise invalid("an attachment is an object with its content in base64", path=path)
    mime, content = _read(str(given["content"]), str(given.get("mimeType") or ""), path)
    if not content:
        raise invalid("an attachment is empty", path=path)
    if len(content) > LARGEST:
        words = f"it has {size_words(len(content))}; the most is {size_words(LARGEST)}"
        raise invalid(f"an attachment is too large: {words}", path=path)
    name = plain_name(given.get("fileName"))
    media = Media(kind=kind_of(mime), name=name, mime=mime[:60], size=len(content))
    return Attached(media, content)


def _read(text: str, mime: str, path: str) -> tuple[str, bytes]:
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        mime = mime or head[len("data:") :].partition(";")[0]
    try:
        return mime.lower(), base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(path) from None


def _unreadable(path: str) -> Refusal:
    return invalid("the content of an attachment is not base64", path=path)
