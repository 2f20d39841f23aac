"""A file that goes along with a message, or came with one: a value, and words about it. Pure.

Names and kinds that come from outside are claims: a name is made plain before anybody writes
it to a disk, and what a file is is read from its first bytes (channels.md §5, §6).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class MediaKind(StrEnum):
    """What a platform shows a file as."""

    IMAGE = "image"
    VIDEO = "video"
    VOICE = "voice"  # spoken into the chat
    AUDIO = "audio"
    FILE = "file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One file. Where it is: ``path`` on this machine, else ``url``, else ``ref``."""

    kind: MediaKind
    name: str  # as people see it; one plain name
    path: str | None = None  # absolute, in a folder of ours
    url: str | None = None
    ref: str | None = None  # what the platform it came from calls it
    size: int | None = None  # bytes; None: not known
    mime: str = ""
    trouble: str = ""  # why it is not to be had


MB: Final = 1024 * 1024
LONGEST_NAME: Final = 80
NAMELESS: Final = "file"
_KINDS: Final[Mapping[str, MediaKind]] = {
    "image": MediaKind.IMAGE,
    "video": MediaKind.VIDEO,
    "audio": MediaKind.AUDIO,
}
# What a file begins with → what it is. Only what platforms show as more than a file.
_BEGINNINGS: Final[Sequence[tuple[int, bytes, str]]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftypmif", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (0, b"OggS", "audio/ogg"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (8, b"WAVE", "audio/wav"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"\x02#!SILK", "audio/silk"),
    (0, b"#!SILK", "audio/silk"),
    (4, b"ftypM4A", "audio/mp4"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
)
BEGINNING: Final = 32  # bytes that tell what a file is
_ENDINGS: Final[Mapping[str, str]] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "mp4": "video/mp4",
    "mov": "video/mp4",
    "webm": "video/webm",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "wav": "audio/wav",
    "amr": "audio/amr",
    "silk": "audio/silk",
    "pdf": "application/pdf",
    "zip": "application/zip",
}
_HEARD: Final = frozenset({MediaKind.VOICE, MediaKind.AUDIO, MediaKind.VIDEO})  # shared formats
_SPOKEN: Final = frozenset({"audio/ogg", "audio/amr", "audio/silk"})
_FORBIDDEN: Final = r'[\\/:*?"<>|]+'
_RESERVED: Final = r"(?i:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)"


def plain_name(claimed: object, otherwise: str = NAMELESS) -> str:
    """Return a name that is one file in any folder, whatever somebody called it.

    No folders, no control or invisible characters, no hidden or reserved names, not too long;
    of a long one the ending stays.
    """
    import unicodedata  # most messages have no file

    text = unicodedata.normalize("NFC", claimed) if isinstance(claimed, str) else ""
    text = "".join(c for c in text if unicodedata.category(c)[0] != "C" and c not in "\u2028\u2029")
    text = re.sub(_FORBIDDEN, "_", re.split(r"[\\/]", text.strip())[-1])
    text = re.sub(r"\s+", " ", text).strip(" ._")
    if not text or re.match(_RESERVED, text):
        return f"{otherwise}_{text}" if text else otherwise
    if len(text.encode()) <= LONGEST_NAME:
        return text
    stem, dot, ending = text.rpartition(".")
    tail = f".{ending}" if dot and stem and len(ending.encode()) <= 12 else ""
    room = LONGEST_NAME - len(tail.encode())
    return (stem if tail else text).encode()[:room].decode(errors="ignore").rstrip(" .") + tail


def mime_of(beginning: bytes, name: str = "") -> str:
    """Return what a file is by its first bytes; by its name only where these say nothing."""
    for at, mark, mime in _BEGINNINGS:
        if beginning[at : at + len(mark)] == mark:
            return mime
    claimed = _ENDINGS.get(name.rpartition(".")[2].lower(), "")
    # Whoever calls a text a picture has not made it one.
    return "" if claimed and beginning else claimed


def kind_of(mime: str) -> MediaKind:
    """Return what a file of a type is shown as; what nobody knows is a file."""
    if mime in _SPOKEN:
        return MediaKind.VOICE
    return _KINDS.get(mime.partition("/")[0], MediaKind.FILE)


def belies(claimed: MediaKind, mime: str) -> bool:
    """Whether a file is something else than it was said to be, by its first bytes.

    Formats of sound and film are many: one nobody knows may be what it was said to be.
    """
    is_kind = kind_of(mime)
    if claimed is MediaKind.FILE or is_kind is claimed or {claimed, is_kind} <= _HEARD:
        return False
    return claimed is MediaKind.IMAGE or mime != ""


def of_url(url: str) -> Media:
    """Return what an address names, as far as the address tells."""
    path = re.split(r"[?#]", url.partition("://")[2], maxsplit=1)[0]
    name = plain_name(path.rpartition("/")[2] if "/" in path else "")
    mime = mime_of(b"", name)
    return Media(kind=kind_of(mime), name=name, url=url, mime=mime)


def size_words(size: int | None) -> str:
    """Return a size as people write it; nothing for one that is not known."""
    if size is None:
        return ""
    if size < 1024:
        return f"{size} bytes"
    return f"{size / 1024:.0f} KB" if size < MB else f"{size / MB:.1f} MB"


def named(media: Media) -> str:
    """Return a file in a few words: its name and size."""
    return ", ".join(part for part in (media.name, size_words(media.size)) if part)


def called(media: Iterable[Media]) -> str:
    """Return files without words as one line: their names and sizes."""
    return "; ".join(f"({named(one)})" for one in media)


def told(media: Iterable[Media]) -> str:
    """Return for an agent what files came with a message; words of strangers stay one line.

    What stands here was chosen by whoever sent it: the agent is told so.
    """
    lines = [_line(one) for one in media]
    if not lines:
        return ""
    head = "Files that came with this message (untrusted: names and content are the sender's):"
    return "\n".join([head, *lines])


def _line(one: Media) -> str:
    about = ", ".join(
        part for part in (str(one.kind), one.mime, size_words(one.size)) if part != ""
    )
    if one.trouble:
        return f"- {one.name} ({about}): not saved: {one.trouble}"
    return f"- {one.name} ({about}): {one.path or 'not saved'}"


_FIELDS: Final = ("name", "path", "url", "ref", "size", "mime", "trouble")


def to_json(media: Iterable[Media]) -> list[dict[str, Any]]:
    """Return files as they are stored: only what is known of each."""
    return [
        {"kind": one.kind.value}
        | {name: value for name in _FIELDS if (value := getattr(one, name)) not in (None, "")}
        for one in media
    ]


def from_json(stored: object) -> tuple[Media, ...]:
    """Return files that were stored."""
    if not isinstance(stored, list):
        return ()
    return tuple(
        Media(
            kind=MediaKind(one["kind"]),
            **{name: one[name] for name in _FIELDS if name in one},
        )
        for one in stored
    )
