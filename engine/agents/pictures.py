"""Pictures that came with a prompt, as a model that sees takes them (channels.md §5).

Only what providers take, and not more than they do: the words of the prompt name every file
anyway, so what is not shown is not hidden.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.agents.provider import Candidate
from engine.messages.media import MB, Media

SHOWN: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
MOST: Final = 5  # pictures of one prompt
LARGEST: Final = 5 * MB  # of one; larger ones Anthropic refuses


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, read."""

    data: bytes
    mime: str


async def read(images: Sequence[Media]) -> tuple[Picture, ...]:
    """Return the pictures that can be shown; one that is gone is left out."""
    if not images:
        return ()
    return await asyncio.to_thread(_read, images)


def _read(images: Sequence[Media]) -> tuple[Picture, ...]:
    found: list[Picture] = []
    for one in images:
        fits = one.mime in SHOWN and one.size is not None and one.size <= LARGEST
        if not fits or one.path is None or len(found) == MOST:
            continue
        try:
            found.append(Picture(Path(one.path).read_bytes(), one.mime))
        except OSError:
            continue
    return tuple(found)


def unseen(candidate: Candidate, images: Sequence[Media]) -> str:
    """Return why pictures were not shown to a model; nothing if they were, or there are none."""
    if not images or candidate.model in candidate.provider.sees:
        return ""
    pictures = "a picture was" if len(images) == 1 else f"{len(images)} pictures were"
    return (
        f"{pictures} not shown: {candidate.ref} is not known to take images. If it does, add image"
        f" to input of it in models.providers.{candidate.provider.id}.models"
    )
