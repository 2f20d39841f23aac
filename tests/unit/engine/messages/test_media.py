"""Files as values: plain names, true kinds, words for agents (channels.md §5, §6)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from engine.messages.media import (
    LONGEST_NAME,
    Media,
    MediaKind,
    from_json,
    kind_of,
    mime_of,
    of_url,
    plain_name,
    size_words,
    to_json,
    told,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24


@pytest.mark.parametrize(
    ("claimed", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\windows\\system32\\cmd.exe", "cmd.exe"),
        ("/etc/passwd", "passwd"),
        ("a\0b\n.txt", "ab.txt"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        (".ssh", "ssh"),
        ("...", "file"),
        ("", "file"),
        (None, "file"),
        (7, "file"),
        ("CON", "file_CON"),
        ("nul.txt", "file_nul.txt"),
        ("what?*.png", "what_.png"),
        ("报告 2026.pdf", "报告 2026.pdf"),
        ("x" * 300 + ".png", "x" * (LONGEST_NAME - 4) + ".png"),
    ],
)
def test_a_name_from_outside_becomes_one_plain_name(claimed: object, name: str) -> None:
    assert plain_name(claimed) == name


@given(st.text(max_size=300))
def test_no_name_leads_out_of_its_folder(claimed: str) -> None:
    name = plain_name(claimed)
    assert name
    assert not {"/", "\\", "\0"} & set(name)
    assert not name.startswith(".")
    assert len(name.encode()) <= LONGEST_NAME + len("file_")


@pytest.mark.parametrize(
    ("beginning", "name", "mime"),
    [
        (PNG, "a.png", "image/png"),
        (PNG, "a.txt", "image/png"),
        (b"#!/bin/sh\n", "a.png", ""),
        (b"", "a.png", "image/png"),
        (b"OggS" + b"\0" * 28, "x", "audio/ogg"),
        (b"\0\0\0\x18ftypmp42", "x", "video/mp4"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "x", "image/webp"),
        (b"plain words", "notes.txt", ""),
    ],
)
def test_what_a_file_is_is_read_from_its_first_bytes(
    beginning: bytes, name: str, mime: str
) -> None:
    assert mime_of(beginning, name) == mime


@pytest.mark.parametrize(
    ("mime", "kind"),
    [
        ("image/png", MediaKind.IMAGE),
        ("video/mp4", MediaKind.VIDEO),
        ("audio/ogg", MediaKind.VOICE),
        ("audio/mpeg", MediaKind.AUDIO),
        ("application/pdf", MediaKind.FILE),
        ("", MediaKind.FILE),
    ],
)
def test_a_type_is_shown_as_its_kind(mime: str, kind: MediaKind) -> None:
    assert kind_of(mime) is kind


def test_an_address_is_named_after_its_path() -> None:
    one = of_url("https://cats.example/a/b.jpg?size=2#x")
    assert (one.name, one.kind) == ("b.jpg", MediaKind.IMAGE)
    assert of_url("https://cats.example").name == "file"


def test_what_is_stored_of_a_file_comes_back() -> None:
    one = Media(kind=MediaKind.VOICE, name="v.ogg", ref="AwAC", size=0, mime="audio/ogg")
    two = Media(kind=MediaKind.FILE, name="f", url="https://x.example/f", trouble="gone")
    assert from_json(json.loads(json.dumps(to_json([one, two])))) == (one, two)
    assert from_json(None) == ()


def test_an_agent_is_told_of_each_file_in_one_line_and_that_it_is_a_strangers() -> None:
    words = told(
        [
            Media(kind=MediaKind.IMAGE, name="a.png", path="/m/a.png", size=2048, mime="image/png"),
            Media(kind=MediaKind.FILE, name="b.zip", trouble="it has 30 MB"),
        ]
    )
    head, *lines = words.splitlines()
    assert "untrusted" in head
    assert lines == [
        "- a.png (image, image/png, 2 KB): /m/a.png",
        "- b.zip (file): not saved: it has 30 MB",
    ]
    assert told([]) == ""


def test_sizes_are_written_as_people_do() -> None:
    assert [size_words(n) for n in (None, 9, 2048, 3 * 1024 * 1024)] == [
        "",
        "9 bytes",
        "2 KB",
        "3.0 MB",
    ]
