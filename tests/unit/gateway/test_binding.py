"""Which addresses a wish comes to (operations.md §6.1)."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.paths import resolve
from engine.config.schema import Config
from gateway import binding, settings
from gateway.binding import Machine, Wish
from gateway.settings import RunOptions
from jobs.errors import EngineError

ANY = "0.0.0.0"  # noqa: S104 - compared with, never bound
HERE = ("127.0.0.1", "::1")
BARE = Machine(addresses=("127.0.0.1", "192.168.1.5"))
TAILNET = Machine(addresses=("127.0.0.1", "192.168.1.5", "100.101.102.103", "100.64.0.9"))
CONTAINER = Machine(container=True)


@pytest.mark.parametrize(
    ("mode", "custom", "machine", "secured", "hosts"),
    [
        ("loopback", None, BARE, False, HERE),
        ("lan", None, BARE, False, (ANY, "::")),
        ("tailnet", None, TAILNET, True, ("127.0.0.1", "100.101.102.103")),
        ("custom", "192.168.1.5", BARE, True, ("127.0.0.1", "192.168.1.5")),
        ("custom", ANY, BARE, True, (ANY,)),
        ("custom", "::1", BARE, True, HERE),
        ("auto", None, BARE, True, HERE),
        ("auto", None, CONTAINER, False, HERE),
        ("auto", None, CONTAINER, True, (ANY,)),
    ],
)
def test_a_wish_comes_to_these_addresses(
    mode: str, custom: str | None, machine: Machine, secured: bool, hosts: tuple[str, ...]
) -> None:
    wish = Wish(mode=mode, source="config", custom_host=custom)
    assert binding.decided(wish, machine, secured=secured).hosts == hosts


@pytest.mark.parametrize(
    ("mode", "custom", "words"),
    [
        ("tailnet", None, r"no address of this machine lies in 100\.64\.0\.0/10"),
        ("custom", None, r"customBindHost is not set"),
        ("custom", "a-name", r"'a-name' is no address"),
        (ANY, None, r"called lan\. Fix: engine gateway --bind lan"),
        ("localhost", None, r"Fix: engine gateway --bind loopback"),
        ("::1", None, r"Fix: engine gateway --bind loopback"),
        ("everywhere", None, r"one of loopback, lan, tailnet, custom, auto"),
    ],
)
def test_a_wish_that_leads_nowhere_is_refused_with_the_one_that_does(
    mode: str, custom: str | None, words: str
) -> None:
    wish = Wish(mode=mode, source="env", custom_host=custom)
    with pytest.raises(EngineError, match=words) as refused:
        binding.decided(wish, BARE, secured=True)
    assert refused.value.exit_status == 78


@pytest.mark.parametrize(
    ("flag", "variable", "configured", "mode", "source"),
    [
        ("lan", "tailnet", "custom", "lan", "service args"),
        (None, "lan", "custom", "lan", "env"),
        (None, None, "lan", "lan", "config"),
        (None, None, None, "loopback", "default"),
    ],
)
def test_the_call_goes_before_the_environment_before_the_config(
    tmp_path: Path,
    flag: str | None,
    variable: str | None,
    configured: str | None,
    mode: str,
    source: str,
) -> None:
    paths = resolve({"ENGINE_STATE_DIR": str(tmp_path)})
    environ = {"ENGINE_GATEWAY_BIND": variable} if variable else {}
    config = Config.model_validate({"gateway": {"bind": configured} if configured else {}})
    found = settings.bind(RunOptions(paths=paths, bind=flag), config, environ)
    assert (found.mode, found.source) == (mode, source)


def test_beyond_this_machine_no_secret_is_made_up(tmp_path: Path) -> None:
    """A token nobody has seen protects nothing: the start is refused, and says how to make one."""
    options = RunOptions(paths=resolve({"ENGINE_STATE_DIR": str(tmp_path)}), bind="lan")
    assert settings.token(options, Config(), {}) == ""
    assert not (tmp_path / "gateway.token").exists()
    (tmp_path / "gateway.token").write_text("a-token-that-was-made\n")
    assert settings.token(options, Config(), {}) == "a-token-that-was-made"


def test_a_container_is_known_by_what_its_runtime_leaves(tmp_path: Path) -> None:
    assert not binding.in_container({}, tmp_path)
    assert binding.in_container({"container": "podman"}, tmp_path)
    (tmp_path / ".dockerenv").touch()
    assert binding.in_container({}, tmp_path)
