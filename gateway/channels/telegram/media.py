"""Files over the Bot API: which method sends what, and what a refusal of one means. Pure.

channels.md §6: a photo has 10 MB at most, any other file 50 MB, a caption 1024 UTF-16 units after
the platform's parsing. What the platform fetches from an address itself may be smaller still; it
says so, and the address goes as a link then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from engine.messages.cargo import Carriage
from engine.messages.fault import Fault, FaultClass
from engine.messages.media import MB, Media, MediaKind

CAPTION: Final = 1024
CARRIAGE: Final = Carriage(
    name="Telegram",
    most={
        MediaKind.IMAGE: 10 * MB,
        MediaKind.VIDEO: 50 * MB,
        MediaKind.VOICE: 50 * MB,
        MediaKind.AUDIO: 50 * MB,
        MediaKind.FILE: 50 * MB,
    },
    caption=CAPTION,
)


@dataclass(frozen=True, slots=True)
class Method:
    """A method that sends a file, and the parameter that holds it."""

    name: str
    field: str


_BY_MIME: Final[Mapping[str, Method]] = {
    "image/jpeg": Method("sendPhoto", "photo"),
    "image/png": Method("sendPhoto", "photo"),
    "image/webp": Method("sendPhoto", "photo"),
    "image/gif": Method("sendAnimation", "animation"),
    "video/mp4": Method("sendVideo", "video"),
    "audio/ogg": Method("sendVoice", "voice"),
    "audio/mpeg": Method("sendAudio", "audio"),
    "audio/mp4": Method("sendAudio", "audio"),
}
_DOCUMENT: Final = Method("sendDocument", "document")


def method_of(media: Media) -> Method:
    """Return how a file is sent: as what people see it as, else as a document."""
    if media.kind is MediaKind.FILE:
        return _DOCUMENT
    limit = CARRIAGE.most[media.kind]
    if media.size is not None and media.size > limit:
        return _DOCUMENT
    return _BY_MIME.get(media.mime, _DOCUMENT)


def captioned(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `sendMessage` as those of a method that sends a file."""
    values = dict(parameters)
    text = values.pop("text", "")
    if str(text).strip():
        values["caption"] = text
    else:
        values.pop("parse_mode", None)
    return values


# What of a refusal of a file leaves its text sendable: the right to send files, its size.
_OF_THE_FILE: Final = frozenset(
    {FaultClass.CONTENT_REJECTED, FaultClass.MUTED, FaultClass.UNKNOWN_ERROR}
)


def of_file(fault: Fault) -> Fault:
    """Return what a fault means for a message that carries a file."""
    if fault.fault in _OF_THE_FILE or fault.code == "413":
        return replace(fault, fault=FaultClass.MEDIA_REFUSED)
    return fault
