"""Files a client sends along: read, or the request is refused (protocol.md §10.4, §10.6)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from engine.messages.media import MediaKind
from gateway.protocol.errors import Refusal
from gateway.rpc.attached import LARGEST, attached

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
CODED = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"content": CODED, "fileName": "a.png", "mimeType": "image/png"}, "a.png"),
        ({"content": f"data:image/png;base64,{CODED}"}, "file"),
        ({"content": CODED, "fileName": "../../a.png", "mimeType": "image/png"}, "a.png"),
    ],
)
def test_a_file_is_read(given: dict[str, Any], name: str) -> None:
    (one,) = attached([given])
    assert (one.content, one.media.name, one.media.kind) == (PNG, name, MediaKind.IMAGE)
    assert CODED not in repr(one)


def test_no_files_are_none() -> None:
    assert attached(None) == attached([]) == ()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["x"], "an object with its content"),
        ([{}], "an object with its content"),
        ([{"content": 7}], "an object with its content"),
        ([{"content": "not base64!"}], "not base64"),
        ([{"content": ""}], "empty"),
        ([{"content": CODED}] * 11, "11 attachments; the most is 10"),
        ([{"content": base64.b64encode(b"x" * (LARGEST + 1)).decode()}], "too large"),
    ],
)
def test_what_cannot_be_read_refuses_the_request(given: list[Any], why: str) -> None:
    with pytest.raises(Refusal, match=why):
        attached(given)
