"""What flags, environment, config and files say to the process."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from engine.config.load import Loaded, load
from engine.config.paths import resolve
from engine.config.schema import Config
from gateway import settings
from gateway.auth import configured
from gateway.protocol.handshake import TIMEOUT
from gateway.settings import RunOptions
from jobs.errors import ConfigInvalid


def options(home: Path) -> RunOptions:
    return RunOptions(paths=resolve({"ENGINE_STATE_DIR": str(home)}))


def token(home: Path) -> str:
    return settings.token(options(home), Config(), {})


def test_the_first_start_makes_a_token_only_its_owner_may_read(tmp_path: Path) -> None:
    made = token(tmp_path)
    assert len(made) == 64
    assert stat.S_IMODE((tmp_path / "gateway.token").stat().st_mode) == 0o600
    assert token(tmp_path) == made


def test_an_empty_token_file_gets_a_token(tmp_path: Path) -> None:
    (tmp_path / "gateway.token").write_text("\n")
    assert len(token(tmp_path)) == 64


def test_a_token_file_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "gateway.token"
    file.write_text("correct-horse-battery\n")
    file.chmod(0o644)
    assert token(tmp_path) == "correct-horse-battery"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xfa"])
def test_a_token_file_that_cannot_be_read_stops_the_start_in_words(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "gateway.token"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=r"gateway\.token: .+Fix: ") as refused:
        token(tmp_path)
    assert refused.value.exit_status == 78


def test_the_lockout_is_that_of_the_config() -> None:
    limit = {"maxAttempts": 3, "windowMs": 1000, "lockoutMs": 2000, "exemptLoopback": False}
    config = Config.model_validate({"gateway": {"auth": {"rateLimit": limit}}})
    policy = configured.policy(config, configured.Shared(token="token"))
    assert (policy.max_failures, policy.exempt_loopback) == (3, False)
    assert (policy.window, policy.lockout) == (timedelta(seconds=1), timedelta(seconds=2))


def test_the_handshake_lasts_as_long_as_environment_config_or_protocol_say() -> None:
    config = Config.model_validate({"gateway": {"handshakeTimeoutMs": 30_000}})
    variable = {"ENGINE_HANDSHAKE_TIMEOUT_MS": "60000"}
    assert settings.handshake_timeout(config, variable) == timedelta(seconds=60)
    assert settings.handshake_timeout(config, {}) == timedelta(seconds=30)
    assert settings.handshake_timeout(Config(), {"ENGINE_HANDSHAKE_TIMEOUT_MS": "soon"}) == TIMEOUT


def test_what_is_worth_knowing_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def told(text: str, before: Loaded | None = None) -> tuple[Loaded, list[str]]:
        caplog.clear()
        loaded = load(tmp_path / "engine.json", {}, raw=text.encode())
        settings.tell(loaded, before)
        return loaded, [f"{one.levelname} {one.__dict__.get('keys', '')}" for one in caplog.records]

    hooks = 'logging: { level: "info" }, browser: { enabled: true }'
    before, lines = told(f"{{ {hooks} }}")
    assert lines == ["INFO browser"]
    assert told(f"{{ {hooks} }}", before)[1] == []
    beat = 'agents: { defaults: { heartbeat: { every: "30s" } } }'
    assert told(f"{{ {hooks}, {beat} }}", before)[1] == ["WARNING "]
