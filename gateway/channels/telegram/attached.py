"""Files that come over the Bot API: what a message says of them, and of an album. Pure.

A photo comes in several sizes, an album as a message for each of its files (core.telegram.org,
"Message", `getFile`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.messages.media import Media, MediaKind, kind_of, plain_name
from gateway.channels.foreign import clean, ident, items, mapping, whole

ALBUM: Final = "engine_album"  # under this name a message holds the others of its album
# Types whose first bytes are known: a document of one that begins otherwise is refused.
_SHOWN: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
# Kind of message → what it is shown as, and how it is called without a name.
_COMES: Final[Mapping[str, tuple[MediaKind, str]]] = {
    "photo": (MediaKind.IMAGE, "photo.jpg"),
    "video": (MediaKind.VIDEO, "video.mp4"),
    "animation": (MediaKind.VIDEO, "animation.mp4"),
    "video_note": (MediaKind.VIDEO, "video.mp4"),
    "voice": (MediaKind.VOICE, "voice.ogg"),
    "audio": (MediaKind.AUDIO, "audio.mp3"),
    "document": (MediaKind.FILE, "file"),
    "sticker": (MediaKind.IMAGE, "sticker.webp"),
}
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


def attached(message: Mapping[str, Any]) -> tuple[Media, ...]:
    """Return the file that came with a message: the largest of a photo's sizes."""
    for field, (kind, name) in _COMES.items():
        sizes = message.get(field)
        about = mapping(items(sizes)[-1] if field == "photo" and items(sizes) else sizes)
        if (ref := ident(about.get("file_id"))) is None:
            continue
        if field == "sticker" and (about.get("is_animated") or about.get("is_video")):
            kind, name = MediaKind.FILE, "sticker"
        mime = clean(str(about.get("mime_type") or ""))[:60]
        if field == "document":
            kind = kind_of(mime) if mime in _SHOWN else MediaKind.FILE
        claimed = plain_name(about.get("file_name"), name) if about.get("file_name") else name
        size = whole(about.get("file_size"))
        return (Media(kind=kind, name=claimed, ref=ref, size=size, mime=mime),)
    return ()


def file_path(result: object) -> str:
    """Return where `getFile` says a file lies, or '' if that is no place it may lie.

    A server of one's own may answer with a path of its disk, which is not served.
    """
    path = mapping(result).get("file_path")
    fits = isinstance(path, str) and len(path) < 500 and _PLAIN_PATH.fullmatch(path)
    return str(path) if fits else ""


def albums(updates: Sequence[object]) -> list[object]:
    """Return updates with the messages of an album as one: the first, with all its files.

    Telegram sends an album as a message for each file; the words stand with one of them.
    """
    joined: list[object] = []
    for update in updates:
        message = mapping(mapping(update).get("message"))
        group = message.get("media_group_id")
        last = mapping(joined[-1]) if joined else {}
        before = mapping(last.get("message"))
        same_chat = mapping(before.get("chat")).get("id") == mapping(message.get("chat")).get("id")
        if not group or before.get("media_group_id") != group or not same_chat:
            joined.append(update)
            continue
        more = [*items(before.get(ALBUM)), message]
        words = {
            key: message[key]
            for key in ("caption", "caption_entities")
            if key in message and not before.get("caption")
        }
        number = mapping(update).get("update_id")
        joined[-1] = {**last, "update_id": number, "message": {**before, **words, ALBUM: more}}
    return joined


def all_attached(message: Mapping[str, Any]) -> tuple[Media, ...]:
    """Return the files of a message and of the others of its album."""
    others = [mapping(each) for each in items(message.get(ALBUM))]
    return tuple(file for each in (message, *others) for file in attached(each))


def open_album(updates: Sequence[object]) -> bool:
    """Whether the last of the updates belongs to an album, of which more may be on the way."""
    last = mapping(mapping(updates[-1]).get("message")) if updates else {}
    return bool(last.get("media_group_id"))
