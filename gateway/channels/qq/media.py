"""Files over QQ: uploaded first, then named by the message that shows them (channels.md §6, §8).

``POST /v2/users/{openid}/files`` or ``/v2/groups/{openid}/files`` with ``{file_type, srv_send_msg:
false, url | file_data}`` answers ``file_info``; `msg_type` 7 with ``media: {file_info}`` and a
non-empty content shows it. Nobody sees an upload, so any trouble with one is harmless to repeat.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from engine.messages.cargo import Carriage
from engine.messages.fault import Fault, FaultClass
from engine.messages.media import MB, Media, MediaKind
from gateway.channels.qq.account import DIRECT, GROUP

_PATHS: Final = {DIRECT: "/v2/users/{}/files", GROUP: "/v2/groups/{}/files"}
_IMAGE, _VIDEO, _VOICE, _FILE = 1, 2, 3, 4
_TYPES: Final[Mapping[str, int]] = {
    "image/png": _IMAGE,
    "image/jpeg": _IMAGE,
    "image/gif": _IMAGE,
    "video/mp4": _VIDEO,
    "audio/silk": _VOICE,
}
# Nothing says how much `file_data` may hold: this is on the safe side, and larger goes as a word.
MOST: Final = 20 * MB
LINKS: Final = Carriage(name="a QQ guild")
_OPENED: Final = b', "file_data": "'
_CLOSED: Final = b'"}'
_PIECE: Final = 3 * (1 << 16)  # whole groups of base64


def carriage(to: str, caption: int) -> Carriage:
    """Return what a peer takes: direct chats and groups files, guilds links."""
    if to.partition(":")[0] not in _PATHS:
        return LINKS
    return Carriage(name="QQ", most=dict.fromkeys(MediaKind, MOST), caption=caption)


def files_path(to: str) -> str:
    """Return where files for a peer are uploaded."""
    kind, _, peer = to.partition(":")
    return _PATHS[kind].format(quote(peer, safe=""))


@dataclass(frozen=True, slots=True)
class Upload:
    """The body of an upload, written as it is read: the file is never held whole."""

    media: Media

    @property
    def fields(self) -> dict[str, Any]:
        """What stands beside the file."""
        plain = self.media.kind is MediaKind.FILE
        kind = _FILE if plain else _TYPES.get(self.media.mime, _FILE)
        named = {"file_name": self.media.name} if kind == _FILE else {}
        at = {} if self.media.path is not None else {"url": self.media.url}
        return {"file_type": kind, "srv_send_msg": False, **named, **at}

    @property
    def length(self) -> int:
        """How long the body is."""
        head = len(json.dumps(self.fields, ensure_ascii=False).encode())
        if self.media.path is None:
            return head
        return head - 1 + len(_OPENED) + 4 * -(-(self.media.size or 0) // 3) + len(_CLOSED)

    async def body(self) -> AsyncIterator[bytes]:
        """The JSON, piece by piece. Raises `OSError` when the file is gone."""
        head = json.dumps(self.fields, ensure_ascii=False).encode()
        if self.media.path is None:
            yield head
            return
        file = await asyncio.to_thread(Path(self.media.path).open, "rb")
        try:
            yield head[:-1] + _OPENED
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield base64.b64encode(piece)
            yield _CLOSED
        finally:
            await asyncio.to_thread(file.close)


def of_upload(fault: Fault) -> Fault:
    """Return what a fault of an upload means: nothing of the message has left."""
    match fault.fault:
        case FaultClass.NETWORK_AMBIGUOUS | FaultClass.SERVER:
            return replace(
                fault, fault=FaultClass.NETWORK_PRESEND, detail=f"upload: {fault.detail}"
            )
        case FaultClass.TOO_LONG | FaultClass.FORMAT | FaultClass.NOT_FOUND:
            return replace(fault, fault=FaultClass.MEDIA_REFUSED)
        case _:
            return of_message(fault)


def of_message(fault: Fault) -> Fault:
    """Return what a fault means for the message that shows a file."""
    of_file = fault.fault in (FaultClass.CONTENT_REJECTED, FaultClass.UNKNOWN_ERROR)
    if of_file and not fault.links_refused:
        return replace(fault, fault=FaultClass.MEDIA_REFUSED)
    return fault
