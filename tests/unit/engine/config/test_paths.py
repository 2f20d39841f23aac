"""Where everything lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.paths import DEV_PORT, PORT, host_zone, resolve, unknown_variables
from jobs.errors import UsageError

HOME = {"HOME": "/h"}


@pytest.mark.parametrize(
    ("environ", "options", "state", "config"),
    [
        (HOME, {}, "/h/.engine", "/h/.engine/engine.json"),
        ({**HOME, "ENGINE_HOME": "/e"}, {}, "/e/.engine", "/e/.engine/engine.json"),
        (HOME, {"profile": "rescue"}, "/h/.engine-rescue", "/h/.engine-rescue/engine.json"),
        (HOME, {"dev": True}, "/h/.engine-dev", "/h/.engine-dev/engine.json"),
        ({**HOME, "ENGINE_PROFILE": "a"}, {}, "/h/.engine-a", "/h/.engine-a/engine.json"),
        (
            {**HOME, "ENGINE_PROFILE": "a"},
            {"profile": "b"},
            "/h/.engine-b",
            "/h/.engine-b/engine.json",
        ),
        ({**HOME, "ENGINE_STATE_DIR": "~/s"}, {}, "/h/s", "/h/s/engine.json"),
        ({**HOME, "ENGINE_CONFIG_PATH": "/c/x.json"}, {}, "/h/.engine", "/c/x.json"),
    ],
)
def test_the_order_of_options_and_environment(
    environ: dict[str, str], options: dict[str, object], state: str, config: str
) -> None:
    paths = resolve(environ, **options)  # type: ignore[arg-type]  # profile, dev
    assert (str(paths.state), str(paths.config)) == (state, config)


def test_a_profile_on_the_command_line_beats_inherited_paths_and_says_so() -> None:
    paths = resolve({**HOME, "ENGINE_STATE_DIR": "/s"}, profile="x")
    assert paths.state == Path("/h/.engine-x")
    assert paths.notice == "--profile x: ignoring ENGINE_STATE_DIR of the environment"


@pytest.mark.parametrize("profile", ["Main", "-a", "a/b", "a" * 33])
def test_a_profile_has_a_form(profile: str) -> None:
    with pytest.raises(UsageError):
        resolve(HOME, profile=profile)


def test_dev_with_another_profile_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        resolve(HOME, profile="x", dev=True)
    assert resolve(HOME, profile="dev", dev=True).default_port == DEV_PORT
    assert resolve(HOME).default_port == PORT


def test_workspaces_by_agent() -> None:
    paths = resolve(HOME)
    state = "/h/.engine"
    assert str(paths.workspace("main", own=None, shared=None, default=True)) == f"{state}/workspace"
    assert (
        str(paths.workspace("ops", own=None, shared="/w", default=False))
        == f"{state}/workspace-ops"
    )
    assert str(paths.workspace("main", own=None, shared="~/w", default=True)) == "/h/w"
    assert str(paths.workspace("ops", own="/o", shared="/w", default=False)) == "/o"


def test_the_host_zone_is_tz_then_the_link_then_utc(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    assert host_zone({}, link) == "UTC"
    link.symlink_to("/usr/share/zoneinfo/Europe/London")
    assert host_zone({}, link) == "Europe/London"
    assert host_zone({"TZ": ":Asia/Shanghai"}, link) == "Asia/Shanghai"
    assert host_zone({"TZ": "EST5EDT4,M3.2.0"}, link) == "Europe/London"


def test_an_unknown_variable_is_told_with_the_nearest() -> None:
    (line,) = unknown_variables({"ENGINE_GATEWAY_PROT": "1", "ENGINE_HOME": "x", "PATH": ""})
    assert line.endswith("ENGINE_GATEWAY_PROT has no meaning; did you mean ENGINE_GATEWAY_PORT?")
