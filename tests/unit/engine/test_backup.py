"""A home packed, proved and put back (engine/backup)."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.backup import manifest as manifests
from engine.backup.manifest import Manifest
from engine.backup.packing import Wish, kept, pack, usual_target
from engine.backup.reading import described, unpacked
from engine.backup.restoring import restore
from engine.config.paths import Paths, resolve
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.outbox import Event
from engine.store import kept as kept_rows, meta, outbox
from jobs.errors import Conflict, EngineError, NotFound, StoreTooNew, UnreadableSource
from jobs.store.db import Database

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=6)


def paths_of(folder: Path) -> Paths:
    folder.mkdir(mode=0o700, exist_ok=True)
    return resolve({"ENGINE_STATE_DIR": str(folder)}, os_home=folder.parent)


@pytest.fixture
def home(tmp_path: Path) -> Paths:
    paths = paths_of(tmp_path / "home")
    paths.config.write_text('{ /* mine */ gateway: { mode: "local" } }')
    paths.token_file.write_text("s3cret-s3cret-s3cret\n")
    paths.token_file.chmod(0o600)
    workspace = paths.state / "workspace"
    workspace.mkdir()
    (workspace / "HEARTBEAT.md").write_text("- look at the build\n")
    for gone in ("logs", "gateway.lock", "engine.json.bak", "engine.json.bak.1", "state.db-wal"):
        place = paths.state / gone
        place.mkdir() if gone == "logs" else place.write_text("x")
    (paths.state / "logs" / "engine.log").write_text("x")
    (paths.state / "state.db-wal").unlink()
    return paths


def wish(paths: Paths, target: Path, **more: Any) -> Wish:
    return Wish(paths=paths, target=target, now=NOW, engine="0.1.0", **more)


def names(manifest: Manifest) -> set[str]:
    return {entry.name for entry in manifest.entries}


def test_a_backup_holds_what_is_the_homes_own_and_nothing_a_process_makes_anew(
    home: Paths, tmp_path: Path
) -> None:
    target = tmp_path / "b.tar.gz"
    manifest = pack(wish(home, target))
    assert names(manifest) == {
        "state/engine.json",
        "state/gateway.token",
        "state/workspace/HEARTBEAT.md",
    }
    assert described(target) == manifest
    assert target.stat().st_mode & 0o777 == 0o600, "it holds the token"


def test_only_the_config_is_packed_if_only_that_is_asked_for(home: Paths, tmp_path: Path) -> None:
    home.config.write_text("{ broken")
    manifest = pack(wish(home, tmp_path / "b.tar.gz", only_config=True))
    assert names(manifest) == {"state/engine.json", "state/gateway.token"}


def test_a_config_that_lies_elsewhere_comes_along_and_goes_back_there(
    home: Paths, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "etc" / "mine.json5"
    elsewhere.parent.mkdir()
    elsewhere.write_text("{}")
    manifest = pack(wish(replace(home, config=elsewhere), tmp_path / "b.tar.gz"))
    assert "config/mine.json5" in names(manifest)


def test_links_and_workspaces_that_stay_out_are_named(home: Paths, tmp_path: Path) -> None:
    link = home.state / "notes"
    link.symlink_to(tmp_path)
    manifest = pack(wish(home, tmp_path / "b.tar.gz", workspaces=False))
    assert set(manifest.left_out) == {str(link), str(home.state / "workspace")}
    assert "state/workspace/HEARTBEAT.md" not in names(manifest)


def test_a_state_on_a_server_is_said_not_to_be_in_it(home: Paths, tmp_path: Path) -> None:
    manifest = pack(wish(home, tmp_path / "b.tar.gz", elsewhere="postgresql"))
    assert manifest.schema is None
    assert "postgresql" in manifest.left_out["store.url"]


def test_nothing_stands_at_the_target_when_packing_fails(home: Paths, tmp_path: Path) -> None:
    class Cut(Exception):
        pass

    def cut(_name: str, _size: int) -> None:
        raise Cut

    folder = tmp_path / "out"
    with pytest.raises(Cut):
        pack(wish(home, folder / "b.tar.gz"), cut)
    assert list(folder.iterdir()) == []


def test_an_existing_file_is_not_overwritten(home: Paths, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    target.write_text("mine")
    with pytest.raises(Conflict):
        pack(wish(home, target))
    assert target.read_text() == "mine"


def test_nothing_to_pack_is_said(tmp_path: Path) -> None:
    paths = resolve({"ENGINE_STATE_DIR": str(tmp_path / "none")}, os_home=tmp_path)
    with pytest.raises(NotFound):
        pack(wish(paths, tmp_path / "b.tar.gz"))


def test_the_usual_place_names_profile_and_instant_and_lists_newest_first(home: Paths) -> None:
    for hours in range(3):
        now = NOW + timedelta(hours=hours)
        pack(replace(wish(home, usual_target(home, now)), now=now))
    assert [path.name[-23:-7] for path in kept(home)] == [
        "20260301T113000Z",
        "20260301T103000Z",
        "20260301T093000Z",
    ]
    manifest = pack(wish(home, usual_target(home, LATER)))
    assert not any("backups" in name for name in names(manifest)), "no backup of backups"


# -- the database ----------------------------------------------------------------------------


def message(key: str) -> Delivery:
    return Delivery(
        key=key,
        text=f"words of {key}",
        chunks=(f"words of {key}",),
        route=Route(channel="telegram", account_id="default", to=key),
        kind="heartbeat",
        agent_id="main",
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )


async def test_a_database_in_use_is_copied_as_it_stands_and_comes_back_whole(
    home: Paths, tmp_path: Path
) -> None:
    target = tmp_path / "b.tar.gz"
    in_use = await Database.open(home.database)
    await in_use.write(lambda tx: meta.put(tx, "answer", "before"))
    manifest = pack(wish(home, target))
    await in_use.write(lambda tx: meta.put(tx, "answer", "after"))
    await in_use.close()
    assert manifest.schema is not None

    new = paths_of(tmp_path / "new")
    done = await restore(target, new, now=LATER)
    assert done.aside is None
    restored = await Database.open(new.database)
    assert await restored.read(lambda tx: meta.get(tx, "answer")) == "before"
    await restored.close()
    for name in ("engine.json", "gateway.token", "workspace/HEARTBEAT.md"):
        assert (new.state / name).read_bytes() == (home.state / name).read_bytes()
    assert new.token_file.stat().st_mode & 0o777 == 0o600


async def test_what_waited_to_be_sent_is_called_off_and_kept_for_a_person(
    home: Paths, tmp_path: Path
) -> None:
    target = tmp_path / "b.tar.gz"
    database = await Database.open(home.database)
    for key in ("waiting", "leaving", "gone"):
        await database.write(partial(outbox.add, delivery=message(key)))
    for key, event in (("leaving", Event.ATTEMPT), ("gone", Event.CANCEL)):
        await database.write(partial(outbox.move, key=key, event=event, now=NOW))
    await database.close()
    pack(wish(home, target))

    new = paths_of(tmp_path / "new")
    done = await restore(target, new, now=LATER)
    assert done.called_off == ("waiting",)
    restored = await Database.open(new.database)
    found = await restored.read(
        lambda tx: {key: outbox.get(tx, key) for key in ("waiting", "leaving")}
    )
    words = await restored.read(lambda tx: kept_rows.find(tx, "message:waiting"))
    await restored.close()
    waiting, leaving = found["waiting"], found["leaving"]
    assert waiting is not None
    assert (waiting.state, waiting.reason) == (State.CANCELLED, "restored")
    assert leaving is not None
    assert leaving.state is State.SENDING, "the start after a crash decides about it"
    assert words is not None
    assert "may have been sent since" in words.because


async def test_what_is_there_is_moved_aside_only_when_that_was_asked_for(
    home: Paths, tmp_path: Path
) -> None:
    target = tmp_path / "b.tar.gz"
    pack(wish(home, target))
    home.config.write_text("{ newer: 1 }")
    (home.state / "workspace" / "later.md").write_text("later")
    with pytest.raises(Conflict):
        await restore(target, home, now=LATER)
    assert home.config.read_text() == "{ newer: 1 }"

    done = await restore(target, home, now=LATER, force=True)
    assert done.aside is not None
    assert (done.aside / "engine.json").read_text() == "{ newer: 1 }"
    assert (done.aside / "workspace" / "later.md").read_text() == "later"
    assert "mine" in home.config.read_text()
    assert not (home.state / "workspace" / "later.md").exists(), "the state of then, not a mixture"
    assert (home.state / "logs" / "engine.log").exists(), "what no backup holds stays"
    assert not [p for p in home.state.iterdir() if p.name.startswith(".restoring")]


# -- archives that are not what they say -----------------------------------------------------


def rebuilt(target: Path, change: Callable[[dict[str, bytes], dict[str, Any]], None]) -> None:
    """Write the archive again with its files and its manifest changed."""
    with tarfile.open(target) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
    said = json.loads(files.pop(manifests.NAME))
    change(files, said)
    with tarfile.open(target, "w:gz") as archive:
        for name, raw in (*files.items(), (manifests.NAME, json.dumps(said).encode())):
            about = tarfile.TarInfo(name)
            about.size = len(raw)
            archive.addfile(about, io.BytesIO(raw))


def a_changed_byte(files: dict[str, bytes], _said: dict[str, Any]) -> None:
    files["state/engine.json"] = files["state/engine.json"][:-1] + b"]"


def a_missing_file(files: dict[str, bytes], _said: dict[str, Any]) -> None:
    del files["state/engine.json"]


def an_unlisted_file(files: dict[str, bytes], _said: dict[str, Any]) -> None:
    files["state/extra"] = b"x"


def renamed(new: str) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def change(files: dict[str, bytes], said: dict[str, Any]) -> None:
        files[new] = files.pop("state/engine.json")
        for entry in said["entries"]:
            if entry["name"] == "state/engine.json":
                entry["name"] = new

    return change


def another_format(_files: dict[str, bytes], said: dict[str, Any]) -> None:
    said["format"] = 2


def no_entries(_files: dict[str, bytes], said: dict[str, Any]) -> None:
    del said["entries"]


BROKEN = {
    "a changed byte": a_changed_byte,
    "a missing file": a_missing_file,
    "an unlisted file": an_unlisted_file,
    "a name outside": renamed("state/../../escaped"),
    "an absolute name": renamed("/escaped"),
    "a name beside the state": renamed("elsewhere/engine.json"),
    "the state itself": renamed("state"),
    "another format": another_format,
    "no list": no_entries,
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
async def test_an_archive_that_is_not_what_it_says_changes_nothing(
    change: Callable[[dict[str, bytes], dict[str, Any]], None], home: Paths, tmp_path: Path
) -> None:
    target = tmp_path / "b.tar.gz"
    pack(wish(home, target))
    rebuilt(target, change)
    new = paths_of(tmp_path / "new")
    with pytest.raises(UnreadableSource):
        await restore(target, new, now=LATER, force=True)
    assert list(new.state.iterdir()) == []
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_an_archive_cut_off_anywhere_is_refused(part: float, home: Paths, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    (home.state / "workspace" / "noise").write_bytes(os.urandom(40_000))
    pack(wish(home, target))
    os.truncate(target, int(target.stat().st_size * part))
    with pytest.raises(UnreadableSource):
        unpacked(target, tmp_path / "scratch")


def test_a_link_in_the_place_of_a_file_is_refused(home: Paths, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    manifest = pack(wish(home, target))
    with tarfile.open(target, "w:gz") as archive:
        link = tarfile.TarInfo(manifest.entries[0].name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        raw = json.dumps(manifest.to_json()).encode()
        about = tarfile.TarInfo(manifests.NAME)
        about.size = len(raw)
        archive.addfile(about, io.BytesIO(raw))
    with pytest.raises(UnreadableSource):
        unpacked(target, tmp_path / "scratch")


def test_a_backup_of_a_newer_engine_is_refused_with_the_engine_it_needs(
    home: Paths, tmp_path: Path
) -> None:
    target = tmp_path / "b.tar.gz"
    pack(wish(home, target))

    def newer(_files: dict[str, bytes], said: dict[str, Any]) -> None:
        said["schema"], said["engine"] = "9999", "9.0.0"

    rebuilt(target, newer)
    with pytest.raises(StoreTooNew, match=r"9\.0\.0"):
        unpacked(target, tmp_path / "scratch")


def test_set_uid_bits_do_not_come_out_of_an_archive(home: Paths, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    pack(wish(home, target))

    def risky(_files: dict[str, bytes], said: dict[str, Any]) -> None:
        for entry in said["entries"]:
            entry["mode"] = 0o6777

    rebuilt(target, risky)
    unpacked(target, tmp_path / "scratch")
    assert (tmp_path / "scratch" / "state" / "engine.json").stat().st_mode & 0o7000 == 0


def test_a_database_that_is_not_whole_is_not_packed(home: Paths, tmp_path: Path) -> None:
    home.database.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(EngineError, match="cannot be copied"):
        pack(wish(home, tmp_path / "b.tar.gz"))
    assert not (tmp_path / "b.tar.gz").exists()
