"""The config that worked last is kept byte for byte, and comes back only where it may (§4.2)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.config import lastgood
from engine.config.compose import digest
from engine.config.keeping import copies
from engine.config.masks import MARKERS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GOOD = b'{ gateway: { mode: "local" } } // \xc3\xa9\r\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "engine.json"
    path.write_bytes(GOOD)
    return path


def kept(path: Path) -> lastgood.Saved:
    saved = lastgood.read(path)
    assert saved is not None
    return saved


def test_what_is_kept_is_the_file_and_what_it_includes_to_the_byte(file: Path) -> None:
    part = file.with_name("part.json5")
    part.write_text("{ // part\n}")
    assert lastgood.save(file, digest(GOOD), [part])
    assert kept(file) == lastgood.Saved(GOOD, {part: b"{ // part\n}"})
    assert copies.beside(file, "last-good").stat().st_mode & 0o777 == 0o600
    assert lastgood.fingerprint(file) == digest(GOOD)


@pytest.mark.parametrize("marker", sorted(MARKERS))
def test_a_masked_secret_is_never_kept_as_good(file: Path, marker: str) -> None:
    raw = f'{{ gateway: {{ auth: {{ token: "{marker}" }} }} }}'.encode()
    file.write_bytes(raw)
    assert not lastgood.save(file, digest(raw))
    assert lastgood.read(file) is None


def test_a_file_that_changed_meanwhile_is_not_kept(file: Path) -> None:
    assert not lastgood.save(file, digest(b"another"))


def test_the_broken_text_is_kept_when_the_good_one_comes_back(file: Path) -> None:
    part = file.with_name("part.json5")
    part.write_text("{}")
    lastgood.save(file, digest(GOOD), [part])
    saved = kept(file)
    assert lastgood.changed(file, saved) == ()
    file.write_text("{ broken")
    part.write_text("{ too")
    aside = lastgood.put_back(file, saved, NOW)
    assert [path.name for path in aside] == [
        "engine.json.clobbered.20260102T030405Z",
        "part.json5.clobbered.20260102T030405Z",
    ]
    assert [path.read_text() for path in aside] == ["{ broken", "{ too"]
    assert (file.read_bytes(), part.read_text()) == (GOOD, "{}")
    file.write_text("{ again")
    lastgood.put_back(file, saved, NOW)
    assert copies.named(file, "clobbered") == copies.clobbered(file)[0]
    assert len(copies.clobbered(file)) == 2


def test_what_was_written_since_the_file_was_judged_is_not_replaced(file: Path) -> None:
    lastgood.save(file, digest(GOOD))
    file.write_text("{ broken")
    seen = lastgood.standing(file)
    file.write_text("{ mended: 1 }")
    assert lastgood.put_back(file, kept(file), NOW, seen=seen) == ()
    assert file.read_text() == "{ mended: 1 }"
    assert copies.clobbered(file) == []


def test_of_broken_files_the_newest_ten_are_kept(file: Path) -> None:
    lastgood.save(file, digest(GOOD))
    for second in range(14):
        file.write_text(f"{{ broken {second}")
        lastgood.put_back(file, kept(file), NOW + timedelta(seconds=second))
    found = copies.clobbered(file)
    assert [one.read_text() for one in found] == [f"{{ broken {n}" for n in range(13, 3, -1)]


def test_who_dies_between_the_two_files_leaves_no_includes_of_another_config(file: Path) -> None:
    part = file.with_name("part.json5")
    part.write_text("{}")
    lastgood.save(file, digest(GOOD), [part])
    copies.beside(file, "last-good").write_bytes(b"{ newer: 1 }")  # and there the power went
    assert kept(file) == lastgood.Saved(b"{ newer: 1 }")


def test_what_a_killed_writer_left_is_taken_away_and_that_of_a_living_one_is_not(
    file: Path,
) -> None:
    dead, living = file.with_name(".engine.json.bak.99999999.tmp"), os.getppid()
    alive = file.with_name(f".engine.json.{living}.tmp")
    for one in (dead, alive):
        one.write_text('{ token: "hunter2" }')
    lastgood.save(file, digest(GOOD))
    assert not dead.exists()
    assert alive.exists()


def test_a_symlink_is_nobodys_to_replace(file: Path) -> None:
    lastgood.save(file, digest(GOOD))
    real = file.with_name("real.json")
    real.write_text("{ broken")
    file.unlink()
    file.symlink_to(real)
    assert lastgood.changed(file, kept(file)) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{ gateway: { configRecovery: { onStart: "refuse" } } }', "refuse"),
        ('{ gateway: { configRecovery: { onStart: "refuse" }  broken', "refuse"),
        ('{ // onStart: "refuse"\n broken', None),
        ("\xff", None),
        ("", None),
    ],
)
def test_a_broken_file_still_says_whether_it_may_be_replaced(text: str, said: str | None) -> None:
    assert lastgood.asked(text.encode("latin-1"), "onStart") == said


@pytest.mark.parametrize(
    ("broken", "bind", "widens"),
    [
        ('{ gateway: { bind: "loopback"', "lan", True),
        ("{ 'bind': 'lan', broken", "lan", False),
        ("{ // bind: 'lan'\n broken", "lan", True),
        ("", "lan", True),
        ("", "custom", True),
        ("", "loopback", False),
        ('{ bind: "custom"', "tailnet", False),
        ('{ bind: "tailnet"', "lan", True),
    ],
)
def test_nothing_listens_wider_than_the_broken_file_asks_for(
    broken: str, bind: str, widens: bool
) -> None:
    assert lastgood.widens(broken.encode(), bind) is widens
