"""What Telegram's messages say of their files (channels.md §5, §9)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.messages.media import MediaKind
from gateway.channels.telegram.attached import albums, all_attached, attached, file_path, open_album


@pytest.mark.parametrize(
    ("message", "kind", "name", "ref"),
    [
        (
            {"photo": [{"file_id": "s", "file_size": 9}, {"file_id": "l", "file_size": 99}]},
            MediaKind.IMAGE,
            "photo.jpg",
            "l",
        ),
        ({"voice": {"file_id": "v"}}, MediaKind.VOICE, "voice.ogg", "v"),
        ({"video": {"file_id": "v", "file_name": "a.mp4"}}, MediaKind.VIDEO, "a.mp4", "v"),
        ({"audio": {"file_id": "a", "file_name": "b.mp3"}}, MediaKind.AUDIO, "b.mp3", "a"),
        ({"sticker": {"file_id": "t"}}, MediaKind.IMAGE, "sticker.webp", "t"),
        ({"sticker": {"file_id": "t", "is_animated": True}}, MediaKind.FILE, "sticker", "t"),
        (
            {"document": {"file_id": "d", "file_name": "../x.pdf", "mime_type": "application/pdf"}},
            MediaKind.FILE,
            "x.pdf",
            "d",
        ),
        (
            {"document": {"file_id": "d", "file_name": "x.png", "mime_type": "image/png"}},
            MediaKind.IMAGE,
            "x.png",
            "d",
        ),
        (
            {"animation": {"file_id": "g"}, "document": {"file_id": "g"}},
            MediaKind.VIDEO,
            "animation.mp4",
            "g",
        ),
    ],
)
def test_a_file_is_named_by_its_kind(
    message: dict[str, Any], kind: MediaKind, name: str, ref: str
) -> None:
    (file,) = attached(message)
    assert (file.kind, file.name, file.ref) == (kind, name, ref)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"text": "hello"},
        {"photo": []},
        {"photo": "no list"},
        {"photo": [7]},
        {"document": {"file_id": None}},
        {"document": {"file_id": {}}},
        {"location": {"latitude": 1}},
    ],
)
def test_what_is_no_file_is_none(message: dict[str, Any]) -> None:
    assert attached(message) == ()


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("photos/file_1.jpg", "photos/file_1.jpg"),
        ("/var/lib/telegram-bot-api/1/photos/file_1.jpg", ""),
        ("../../etc/passwd", ""),
        ("photos/../../x", ""),
        ("http://169.254.169.254/", ""),
        ("photos/%2e%2e/x", ""),
        ("a?b=c", ""),
        ("x" * 600, ""),
        (None, ""),
        (7, ""),
    ],
)
def test_only_a_plain_path_is_fetched(path: object, place: str) -> None:
    assert file_path({"file_path": path}) == place


def update(number: int, group: str | None = "g", chat: int = 42, **more: Any) -> dict[str, Any]:
    message: dict[str, Any] = {
        "message_id": number,
        "chat": {"id": chat},
        "photo": [{"file_id": f"p{number}"}],
        **({"media_group_id": group} if group else {}),
        **more,
    }
    return {"update_id": number, "message": message}


def test_an_album_is_one_message_with_all_its_files_and_its_words() -> None:
    (joined,) = albums([update(1), update(2, caption="three cats"), update(3)])
    assert isinstance(joined, dict)
    message = joined["message"]
    assert (joined["update_id"], message["message_id"]) == (3, 1)
    assert message["caption"] == "three cats"
    assert [file.ref for file in all_attached(message)] == ["p1", "p2", "p3"]


@pytest.mark.parametrize(
    "updates",
    [
        [update(1, None), update(2, None)],
        [update(1, "a"), update(2, "b")],
        [update(1, chat=42), update(2, chat=43)],
        [update(1), {"update_id": 2, "message": {"text": "hi"}}, update(3)],
        [7, None, "x"],
    ],
)
def test_nothing_else_is_joined(updates: list[object]) -> None:
    assert albums(updates) == updates


def test_only_an_album_at_the_end_may_go_on() -> None:
    assert open_album([update(1, None), update(2)])
    assert not open_album([update(1), update(2, None)])
    assert not open_album([])
