"""Files on their way: which go as parts of their own, which as a link or a word. Pure.

The parts with files stand before the parts of text alone: part n carries the file whose place
in the message is the n-th of `PARTS`. The plan is made once and stored before the first send,
so a retry repeats identical parts (channels.md §6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from engine.messages.delivery import Delivery
from engine.messages.fault import Fault, FaultClass
from engine.messages.media import Media, MediaKind, named, size_words

PARTS: Final = "mediaParts"  # note: places of the files that go as parts, in order
MENDED: Final = "mediaMended"  # note: part → how it goes after a refusal
REFUSED: Final = "mediaRefused"  # note, told in the receipt: files that did not go as files
AS_FILE: Final = "file"
AS_LINK: Final = "link"
TOO_LARGE: Final = "media-too-large"
NO_FILES: Final = "media-not-carried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """What a channel takes of files. ``most`` is in bytes; a kind that is not there goes as one
    that is (an image too large for an image is a file), or not at all.
    """

    name: str  # as people call it
    most: Mapping[MediaKind, int] = field(default_factory=dict)  # empty: links only
    caption: int = 0  # longest text that stands with a file, in the channel's unit
    fetches: bool = True  # it takes the address of a file, and fetches what lies there itself
    here: bool = False  # who reads it is at this machine: a path is an address to them


@dataclass(frozen=True, slots=True, kw_only=True)
class Stowed:
    """The files of a message, decided: ``parts`` go as files, of the others words remain."""

    parts: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)


def stow(media: Sequence[Media], carriage: Carriage, most: int) -> Stowed:
    """Decide about the files of a message; at most ``most`` go as parts."""
    parts: list[int] = []
    words: list[str] = []
    refused: list[Mapping[str, str]] = []
    for place, one in enumerate(media):
        linked_only = not carriage.most or (one.path is None and not carriage.fetches)
        if shown_as(one, carriage) is not None and len(parts) < most and not linked_only:
            parts.append(place)
        elif linked_only and (one.url is not None or carriage.here):
            words.append(one.url or f"({named(one)}: {one.path})")
        else:
            kind, why = _objection(one, carriage)
            words.append(linked(one, why))
            refused.append(_refusal(one, kind, why))
    notes: dict[str, Any] = {PARTS: parts} if parts else {}
    if refused:
        notes[REFUSED] = refused
    return Stowed(parts=tuple(parts), words=tuple(words), notes=notes)


def shown_as(media: Media, carriage: Carriage) -> MediaKind | None:
    """Return what a file goes as: what it is, else a plain file; None: it is too large."""
    for kind in (media.kind, MediaKind.FILE):
        limit = carriage.most.get(kind)
        if limit is not None and (media.size is None or media.size <= limit):
            return kind
    return None


def _objection(media: Media, carriage: Carriage) -> tuple[str, str]:
    """Return why a file does not go as one: its class, and words."""
    if not carriage.most:
        return NO_FILES, f"{carriage.name} takes links only"
    if shown_as(media, carriage) is not None:
        return NO_FILES, "there are too many files for one message"
    return TOO_LARGE, f"{carriage.name} takes at most {size_words(max(carriage.most.values()))}"


def linked(media: Media, why: str) -> str:
    """Return what remains of a file that does not go as one: its address, or a word about it."""
    return media.url or f"({named(media)}, was not sent: {why})"


def _refusal(media: Media, kind: str, why: str) -> Mapping[str, str]:
    return {"name": media.name, "class": kind, "detail": why}


def load_of(delivery: Delivery) -> Media | None:
    """Return the file that the part at the cursor carries, as it goes now; None: text alone."""
    media = _at_cursor(delivery)
    match _mended(delivery).get(str(delivery.cursor)):
        case "link":
            return None
        case "file" if media is not None:
            return replace(media, kind=MediaKind.FILE)
        case _:
            return media


def words_of(delivery: Delivery) -> str:
    """Return the text of the part at the cursor, with what remains of a file that was refused."""
    text = delivery.chunks[delivery.cursor] if delivery.chunks else delivery.text
    media = _at_cursor(delivery)
    if media is None or _mended(delivery).get(str(delivery.cursor)) != AS_LINK:
        return text
    told = [one for one in delivery.notes.get(REFUSED, ()) if one.get("name") == media.name]
    why = str(told[-1]["detail"]) if told else "it was refused"
    return "\n".join(part for part in (text, linked(media, why)) if part)


def otherwise(delivery: Delivery, fault: Fault) -> Mapping[str, Any] | None:
    """Return the notes with which a refused file goes next: as a plain file, then as a word.

    None: the part carries no file, so nothing about it can be otherwise.
    """
    media = load_of(delivery)
    if media is None:
        return None
    notes, part = delivery.notes, str(delivery.cursor)
    mended = _mended(delivery)
    if media.kind is not MediaKind.FILE and media.path is not None:
        return {**notes, MENDED: {**mended, part: AS_FILE}}
    detail = " ".join(word for word in (fault.code, fault.detail) if word)
    refused = [*notes.get(REFUSED, ()), _refusal(media, str(FaultClass.MEDIA_REFUSED), detail)]
    return {**notes, MENDED: {**mended, part: AS_LINK}, REFUSED: refused}


def uncaptioned(delivery: Delivery, again: Sequence[str]) -> tuple[str, ...] | None:
    """Return the parts of a message whose caption was refused as too long: it follows as text.

    ``again`` is the caption, cut anew. None: the part at the cursor is text already.
    """
    if load_of(delivery) is None:
        return None
    at, files = delivery.cursor, len(delivery.notes.get(PARTS, ()))
    chunks = delivery.chunks
    return (*chunks[:at], "", *chunks[at + 1 : files], *again, *chunks[files:])


def _at_cursor(delivery: Delivery) -> Media | None:
    places = delivery.notes.get(PARTS, ())
    at = delivery.cursor
    return delivery.media[places[at]] if at < len(places) else None


def _mended(delivery: Delivery) -> Mapping[str, str]:
    found: Mapping[str, str] = delivery.notes.get(MENDED, {})
    return found
