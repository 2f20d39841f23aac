"""What the audit reads of a home: the config as far as it can be read, and who may read what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from engine.config.paths import Paths, resolve
from engine.security import survey
from engine.security.gather import gather

NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return resolve({"ENGINE_STATE_DIR": str(home)}, os_home=tmp_path)


def write(paths: Paths, text: str, mode: int = 0o600) -> None:
    paths.config.write_text(text, "utf-8")
    paths.config.chmod(mode)


def ids(paths: Paths, env: dict[str, str] | None = None) -> set[str]:
    return {one.check_id for one in survey(paths, env or {}, NOW).findings}


def test_a_home_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    paths = resolve({"ENGINE_STATE_DIR": str(tmp_path / "none")}, os_home=tmp_path)
    assert ids(paths) == {"summary.attack_surface"}


def test_files_are_seen_with_their_permissions(paths: Paths) -> None:
    write(paths, "{gateway: {mode: 'local'}}", 0o644)
    (paths.state / "engine.json.bak").write_text("{}", "utf-8")
    (paths.state / "engine.json.bak").chmod(0o640)
    paths.env_file.write_text("A=b\n", "utf-8")
    paths.env_file.chmod(0o604)
    assert ids(paths) == {
        "fs.config.perms_world_readable",
        "fs.backup.perms_group_readable",
        "fs.env_file.perms_world_readable",
        "summary.attack_surface",
    }


def test_a_config_that_is_invalid_is_looked_at_all_the_same(paths: Paths) -> None:
    write(paths, "{gateway: {prot: 1, auth: {mode: 'none'}}}")
    assert "gateway.loopback_no_auth" in ids(paths)


def test_includes_are_part_of_it_and_seen_as_files(paths: Paths) -> None:
    write(paths, "{logging: {$include: './logs.json'}}")
    part = paths.state / "logs.json"
    part.write_text("{redactSensitive: 'off'}", "utf-8")
    part.chmod(0o644)
    assert {"logging.redact_off", "fs.config_include.perms_world_readable"} <= ids(paths)


def test_a_token_is_judged_wherever_it_comes_from(paths: Paths) -> None:
    write(paths, "{gateway: {auth: {token: '${MY_TOKEN}'}}}")
    assert "gateway.token_too_short" in ids(paths, {"MY_TOKEN": "abcdefgh"})
    write(paths, "{gateway: {auth: {token: {source: 'env', id: 'MY_TOKEN'}}}}")
    assert "gateway.token_too_short" in ids(paths, {"MY_TOKEN": "abcdefgh"})
    write(paths, "{}")
    paths.token_file.write_text("abcdefgh\n", "utf-8")
    paths.token_file.chmod(0o600)
    assert "gateway.token_too_short" in ids(paths)


def test_a_reference_nobody_followed_is_said_not_to_be_judged(paths: Paths) -> None:
    write(paths, "{gateway: {auth: {token: {source: 'file', id: '/token'}}}}")
    (told,) = gather(paths, {}).secret_diagnostics
    assert told.startswith("gateway.auth.token is a reference of kind file")


def test_what_stands_behind_a_provider_is_looked_at(paths: Paths) -> None:
    write(paths, "{secrets: {providers: {box: {source: 'file', path: 'box.json'}}}}")
    box = paths.state / "box.json"
    box.write_text("{}", "utf-8")
    box.chmod(0o600)
    assert "secrets.file_provider_perms" not in ids(paths)
    box.chmod(0o644)
    assert "secrets.file_provider_perms" in ids(paths)


def test_the_environment_may_open_what_the_file_keeps_closed(paths: Paths) -> None:
    write(paths, "{gateway: {auth: {mode: 'none'}}}")
    assert "gateway.bind_no_auth" in ids(paths, {"ENGINE_GATEWAY_BIND": "lan"})
