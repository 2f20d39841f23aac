"""`engine backup` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.holding import hold
from engine.cli.place import place
from engine.clock import SystemClock
from tests.unit.engine.cli.conftest import Engine


@pytest.fixture
def made(home: Path) -> Path:
    (home / ".engine" / "engine.json").write_text('{ gateway: { mode: "local" } }')
    return home / "b.tar.gz"


def test_created_verified_and_restored_elsewhere(
    engine: Engine, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = engine("backup", "create", made, "--json")
    assert created.status == 0
    assert json.loads(created.out)["files"] == 1
    assert engine("backup", "verify", made).out.startswith("whole: profile default of ")
    monkeypatch.setenv("ENGINE_STATE_DIR", str(tmp_path / "other"))
    restored = engine("backup", "restore", made)
    assert restored.status == 0
    assert "misfire policy" in restored.out
    assert (tmp_path / "other" / "engine.json").exists()


def test_nothing_is_replaced_without_force_and_a_dry_run_says_what_would_be(
    engine: Engine, made: Path, home: Path
) -> None:
    engine("backup", "create", made)
    (home / ".engine" / "engine.json").write_text("{}")
    refused = engine("backup", "restore", made)
    assert refused.status == 1
    assert "--force" in refused.err
    tried = engine("backup", "restore", made, "--dry-run")
    assert "would move aside ~/.engine/engine.json" in tried.out
    assert (home / ".engine" / "engine.json").read_text() == "{}"


def test_a_home_that_runs_is_not_restored_into(engine: Engine, made: Path) -> None:
    engine("backup", "create", made)
    with hold(place(), SystemClock().now()):
        refused = engine("backup", "restore", made, "--force")
    assert refused.status == 78
    assert "another gateway" in refused.err


def test_only_so_many_are_kept_of_those_in_the_usual_place(
    engine: Engine, made: Path, home: Path
) -> None:
    folder = home / ".engine" / "backups"
    folder.mkdir()
    for day in range(10, 15):
        (folder / f"engine-default-202601{day}T000000Z.tar.gz").touch()
    (folder / "engine-rescue-20250101T000000Z.tar.gz").touch()
    answer = engine("backup", "create", "--keep", "2")
    assert answer.status == 0
    left = sorted(path.name for path in folder.iterdir())
    assert left[0] == "engine-default-20260114T000000Z.tar.gz"
    assert left[-1] == "engine-rescue-20250101T000000Z.tar.gz", "another profile's"
    assert len(left) == 3


def test_a_home_without_a_backup_says_how_to_make_one(engine: Engine, home: Path) -> None:
    assert "engine backup create" in engine("backup", "list").out
    assert json.loads(engine("backup", "list", "--json").out) == {"backups": []}


def test_something_else_than_a_backup_is_refused(engine: Engine, home: Path) -> None:
    (home / "x.tar.gz").write_text("no archive")
    assert engine("backup", "verify", home / "x.tar.gz").status == 1
    assert engine("backup", "verify", home / "none.tar.gz").status == 6
