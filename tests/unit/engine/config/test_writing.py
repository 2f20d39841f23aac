"""A write is seen whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.config.edit import set_text
from engine.config.load import load
from engine.config.writing import BACKUPS, KEEP_REJECTED, write
from jobs.errors import ConfigInvalid, Conflict, InvalidInput, StoreUnavailable

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def put(path: Path, key: str, value: object, **more: object) -> str:
    return write(
        path,
        lambda text: set_text(text, key, value),
        validate=lambda raw: load(path, {}, raw=raw),
        now=NOW,
        **more,  # type: ignore[arg-type]  # base_hash, version, replace
    ).line


def test_a_write_keeps_a_ring_of_backups(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    for port in range(1, BACKUPS + 3):
        put(path, "gateway.port", port)
    line = put(path, "gateway.port", BACKUPS + 3)
    assert line.startswith(f"Config overwrite: {path} (sha256 ")
    assert line.endswith(f"backup={path}.bak)")
    assert path.stat().st_mode & 0o777 == 0o600
    kept = ["engine.json.bak", *(f"engine.json.bak.{n}" for n in range(1, BACKUPS))]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["engine.json", *kept]
    ports = [load(tmp_path / name, {}).config.gateway.port for name in kept]
    assert ports == [7, 6, 5, 4, 3]


def test_no_change_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{gateway: {port: 1}}")
    assert put(path, "gateway.port", 1, version="9.9") == "No change"
    assert [p.name for p in tmp_path.iterdir()] == ["engine.json"]


def test_a_result_that_is_invalid_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{}")
    with pytest.raises(ConfigInvalid):
        put(path, "gateway.port", "abc")
    assert path.read_text() == "{}"
    assert (tmp_path / "engine.json.rejected.20260102T030405Z").exists()


def test_a_write_that_drops_the_mode_must_be_meant(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text('{gateway: {mode: "local"}}')
    with pytest.raises(InvalidInput, match="--replace"):
        put(path, "gateway", {})
    assert put(path, "gateway", {}, replace=True).startswith("Config overwrite")


def test_a_stale_hash_is_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{}")
    with pytest.raises(Conflict):
        put(path, "gateway.port", 1, base_hash="0" * 64)


def test_a_symlink_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "engine.json").symlink_to(tmp_path / "real.json")
    with pytest.raises(StoreUnavailable, match="config path is a symlink; set ENGINE_CONFIG_PATH"):
        put(tmp_path / "engine.json", "gateway.port", 1)


def test_the_version_is_stamped(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    put(path, "gateway.port", 1, version="0.1.0")
    meta = load(path, {}).config.meta
    assert (meta.last_touched_version, meta.last_touched_at) == ("0.1.0", "2026-01-02T03:04:05Z")


def test_a_broken_file_is_not_edited(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{a:")
    with pytest.raises(ConfigInvalid, match=r"engine\.json:1:"):
        put(path, "gateway.port", 1)


def test_what_is_refused_is_kept_once_and_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("{}")

    def refused(port: str, second: int) -> None:
        with pytest.raises(ConfigInvalid):
            write(
                path,
                lambda text: set_text(text, "gateway.port", port),
                validate=lambda raw: load(path, {}, raw=raw),
                now=datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC),
            )

    refused("abc", 1)
    refused("abc", 2)
    assert [p.name for p in tmp_path.glob("*.rejected.*")] == [
        "engine.json.rejected.20260102T030401Z"
    ]
    for second in range(3, KEEP_REJECTED + 13):
        refused(f"abc{second}", second)
    kept = sorted(p.name for p in tmp_path.glob("*.rejected.*"))
    assert len(kept) == KEEP_REJECTED
    assert kept[-1] == f"engine.json.rejected.20260102T0304{KEEP_REJECTED + 12}Z"
