"""One gateway per home."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import lock
from gateway.lock import Lock, Owner
from jobs.errors import OwnershipRefused

OWNER = Owner(pid=9555, started_at_ms=1_772_366_400_000, boot_id="b", version="0.1.0")


def test_a_second_gateway_is_refused_with_the_facts_of_the_first(tmp_path: Path) -> None:
    with Lock(tmp_path, OWNER) as held:
        held.bound("127.0.0.1", 18789)
        with pytest.raises(OwnershipRefused) as refused, Lock(tmp_path, OWNER):
            pass
    assert refused.value.what.startswith(
        "another gateway instance is already listening on ws://127.0.0.1:18789 "
        "(pid 9555, profile default, since "
    )
    assert refused.value.exit_status == 78


def test_the_owner_can_be_read_while_it_lives_and_not_after(tmp_path: Path) -> None:
    assert lock.read(tmp_path) is None
    with Lock(tmp_path, OWNER) as held:
        held.bound("::1", 7)
        owner = lock.read(tmp_path)
        assert owner is not None
        assert owner.url == "ws://[::1]:7"
    assert lock.read(tmp_path) is None


def test_a_released_home_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with Lock(tmp_path, OWNER):
            pass


def test_words_of_a_dead_owner_are_not_repeated(tmp_path: Path) -> None:
    (tmp_path / lock.FILE).write_text('{"pid": 1, "port": 5}')
    assert lock.read(tmp_path) is None


def test_a_home_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    (tmp_path / "other" / lock.FILE).mkdir(parents=True)
    for home in (tmp_path / "home", tmp_path / "other"):
        with pytest.raises(OwnershipRefused, match=r"cannot be used: .*STATE_DIR") as refused:
            Lock(home, OWNER).__enter__()
        assert refused.value.exit_status == 78
