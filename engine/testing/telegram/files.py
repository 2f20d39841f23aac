"""Files on the platform: what bots send, what people send, where it is fetched.

Methods and limits: core.telegram.org/bots/api, "Sending files", `sendPhoto` and its siblings,
`getFile`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.testing.http import Part
from engine.testing.telegram.wrong import Refusal

METHODS: Final[Mapping[str, str]] = {  # → the field with the file, which the message has too
    "sendPhoto": "photo",
    "sendDocument": "document",
    "sendVideo": "video",
    "sendAnimation": "animation",
    "sendVoice": "voice",
    "sendAudio": "audio",
}
_MB: Final = 1024 * 1024
LONGEST_CAPTION: Final = 1024
FETCHED_MOST: Final = 20 * _MB
_PHOTOS: Final = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
_GROWN: Final = {"photo": 10 * _MB}
_SENT_MOST: Final = 50 * _MB


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """A file as it arrived at the platform."""

    method: str
    name: str
    content: bytes  # empty where ``url`` says what to fetch
    url: str | None = None


def file_of(method: str, parameters: Mapping[str, Any]) -> SentFile:
    """Return the file of a request, or refuse it as the platform would."""
    field = METHODS[method]
    given = parameters.get(field)
    if isinstance(given, Part):
        _check(field, given.content)
        return SentFile(method=method, name=given.filename or "", content=given.content)
    if isinstance(given, str) and given.startswith(("http://", "https://")):
        return SentFile(method=method, name=given.rpartition("/")[2], content=b"", url=given)
    if given:
        raise Refusal(400, "Bad Request: wrong remote file identifier specified")
    raise Refusal(400, f"Bad Request: there is no {field} in the request")


def _check(field: str, content: bytes) -> None:
    if not content:
        raise Refusal(400, "Bad Request: file must be non-empty")
    if len(content) > _SENT_MOST:
        raise Refusal(413, "Request Entity Too Large")
    if len(content) > _GROWN.get(field, _SENT_MOST):
        raise Refusal(400, "Bad Request: file is too big for a photo")
    if field == "photo" and not content.startswith(_PHOTOS):
        raise Refusal(400, "Bad Request: IMAGE_PROCESS_FAILED")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFile:
    """A file a person sent, as long as the platform keeps it."""

    path: str
    content: bytes
    size: int  # as the platform says it


class Files:
    """What people sent, by file id."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptFile] = {}

    def keep(self, kind: str, content: bytes, *, name: str, size: int | None) -> dict[str, Any]:
        """Keep a file; return the object a message has under its kind."""
        number = len(self._kept) + 1
        ident = f"AgAC{number:06d}"
        ending = name.rpartition(".")[2] if "." in name else "bin"
        said = len(content) if size is None else size
        path = f"{kind}s/file_{number}.{ending}"
        self._kept[ident] = KeptFile(path=path, content=content, size=said)
        return {"file_id": ident, "file_unique_id": f"u{number}", "file_size": said}

    def get(self, ident: object) -> dict[str, Any]:
        """`getFile`."""
        kept = self._kept.get(str(ident))
        if kept is None:
            raise Refusal(400, "Bad Request: invalid file_id")
        if kept.size > FETCHED_MOST:
            raise Refusal(400, "Bad Request: file is too big")
        return {"file_id": ident, "file_size": kept.size, "file_path": kept.path}

    def at(self, path: str) -> bytes:
        """Return what lies at a path."""
        for kept in self._kept.values():
            if kept.path == path:
                return kept.content
        raise Refusal(404, "Not Found")


def shown(kind: str, about: Mapping[str, Any], name: str, mime: str) -> dict[str, Any]:
    """Return the fields of a message that show a file; a photo comes in several sizes."""
    if kind == "photo":
        small = {**about, "file_id": f"{about['file_id']}s", "file_size": 10}
        return {"photo": [{**small, "width": 90}, {**about, "width": 1280, "height": 960}]}
    more = {"file_name": name} if kind in ("document", "video", "audio", "animation") else {}
    return {kind: {**about, **more, "mime_type": mime}}
