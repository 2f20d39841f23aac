"""What the quick commands read, and what they must not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import fast
from engine.config.paths import resolve


def test_values_are_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "engine.json"
    path.write_text("\ufeff{a: {'b.c': [1, {id: 'x', y: 2}]}, /* c */}", "utf-8")
    values = fast.read(path)
    assert fast.get(values, 'a["b.c"][0]') == 1
    assert fast.get(values, 'a["b.c"][id=x].y') == 2
    assert fast.get(values, "a.z") is fast.MISSING
    assert fast.get(values, "a[]") is fast.MISSING


def test_an_unreadable_file_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{a:")
    (tmp_path / "list.json").write_text("[1]")
    for name in ("bad.json", "list.json", "none.json"):
        assert fast.read(tmp_path / name) == {}


def test_the_port_comes_from_env_then_config_then_default() -> None:
    paths = resolve({"HOME": "/h"})
    values = {"gateway": {"port": 5}}
    assert fast.port(paths, values, {"ENGINE_GATEWAY_PORT": "7"}) == (7, "env")
    assert fast.port(paths, values, {}) == (5, "config")
    assert fast.port(paths, {}, {}) == (18789, "default")


def test_the_token_comes_from_env_then_config_then_file(tmp_path: Path) -> None:
    paths = resolve({"HOME": str(tmp_path), "ENGINE_STATE_DIR": str(tmp_path)})
    values = {"gateway": {"auth": {"token": "${TOK}"}}}
    paths.token_file.write_text("from-file\n")
    assert fast.credential(paths, values, {"ENGINE_GATEWAY_TOKEN": "e"}) == ("e", "env")
    assert fast.credential(paths, values, {"TOK": "c"}) == ("c", "config")
    assert fast.credential(paths, {}, {}) == ("from-file", "file")
    assert fast.credential(paths, {}, {}, "password") == (None, "none")


def test_a_remote_gateway_has_its_own_token() -> None:
    values = {"gateway": {"mode": "remote", "remote": {"token": {"source": "env", "id": "R"}}}}
    assert fast.configured(values, {"R": "far"}) == "far"


def test_the_fast_path_imports_nothing_slow() -> None:
    code = "import sys, engine.config.fast; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    slow = {"pydantic", "json5", "asyncio", "sqlalchemy", "logging", "dotenv", "watchfiles"}
    assert not slow & set(done.stdout.split())


def test_the_schema_imports_neither_the_parser_nor_pendulum() -> None:
    code = "import sys, engine.config.schema; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"json5", "pendulum", "asyncio", "watchfiles"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ({"source": "env", "id": "TOK"}, "of-env"),
        ({"source": "env", "provider": "env", "id": "TOK"}, "of-env"),
        ({"source": "file", "provider": "box", "id": "/token"}, "of-file"),
        ({"source": "file", "provider": "box", "id": "/none"}, None),
        ({"source": "file", "provider": "nobody", "id": "/token"}, None),
        ({"source": "nonsense"}, None),
    ],
)
def test_the_credential_behind_a_reference_is_found_on_this_host(
    tmp_path: Path, ref: dict[str, str], found: str | None
) -> None:
    """operations.md §14.4: whoever sits at the gateway's host needs neither flag nor export."""
    paths = resolve({"ENGINE_STATE_DIR": str(tmp_path)}, os_home=tmp_path)
    box = tmp_path / "box.json"
    box.write_text('{"token": "of-file"}', "utf-8")
    box.chmod(0o600)
    values = {
        "gateway": {"auth": {"token": ref}},
        "secrets": {"providers": {"box": {"source": "file", "path": "box.json"}}},
    }
    assert fast.credential(paths, values, {"TOK": "of-env"})[0] == found
