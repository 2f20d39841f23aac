"""What the unit of a gateway says (operations.md §8.1, §8.3)."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.service import agent, files
from gateway.service.unit import Unit, command_line, drift, environment, label, port_of, watch_text
from jobs.errors import UsageError

HOME = Path("/home/ann")
UNIT = Unit(
    profile="default",
    version="0.1.0",
    command=("/usr/bin/python3", "-m", "engine", "gateway", "run", "--port", "18789"),
    folder=HOME,
    environment=environment(
        profile="default",
        version="0.1.0",
        port=18789,
        state=None,
        config=None,
        path=[HOME / ".local/bin", Path("/usr/bin"), Path("/usr/bin"), Path("/bin")],
    ),
)
EXPECTED = """\
[Unit]
Description=Engine Gateway (profile: default, v0.1.0)
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/usr/bin/python3 -m engine gateway run --port 18789
WorkingDirectory=/home/ann
Restart=always
RestartSec=5
RestartPreventExitStatus=78
SuccessExitStatus=0 143
TimeoutStartSec=30
TimeoutStopSec=30
WatchdogSec=90
KillMode=control-group
KillSignal=SIGTERM
UMask=0077
Environment=ENGINE_SERVICE_MARKER=engine
Environment=ENGINE_SERVICE_KIND=gateway
Environment=ENGINE_SERVICE_VERSION=0.1.0
Environment=ENGINE_GATEWAY_PORT=18789
Environment=PATH=/home/ann/.local/bin:/usr/bin:/bin

[Install]
WantedBy=default.target
"""


def test_the_unit_is_that_of_the_specification() -> None:
    assert UNIT.text() == EXPECTED


def test_a_unit_of_the_machine_runs_as_its_user_and_starts_with_the_machine() -> None:
    text = replace(UNIT, user="ann", group="staff").text()
    assert "User=ann\nGroup=staff\n" in text
    assert "WantedBy=multi-user.target" in text


@pytest.mark.parametrize(("version", "steps"), [(0, False), (253, False), (254, True)])
def test_a_newer_systemd_waits_longer_each_time(version: int, steps: bool) -> None:
    assert ("RestartMaxDelaySec=300" in replace(UNIT, systemd=version).text()) is steps


def test_places_are_named_only_where_they_are_not_usual_and_a_secret_never_is() -> None:
    said = environment(
        profile="rescue",
        version="1",
        port=None,
        state=Path("/srv/e"),
        config=Path("/etc/e.json"),
        path=[],
    )
    assert said["ENGINE_PROFILE"] == "rescue"
    assert said["ENGINE_STATE_DIR"] == "/srv/e"
    assert said["ENGINE_CONFIG_PATH"] == "/etc/e.json"
    assert "ENGINE_GATEWAY_PORT" not in said
    assert not [name for name in said if "TOKEN" in name or "PASSWORD" in name]
    assert (label("default"), label("rescue")) == ("engine-gateway", "engine-gateway-rescue")


QUOTED = [
    ("/usr/bin/python3", "/usr/bin/python3"),
    ("/home/ann b/python", '"/home/ann b/python"'),
    ("/x/100%", "/x/100%%"),
    ("/x/$HOME", "/x/$$HOME"),
    ('/x/"q"', '"/x/\\"q\\""'),
    ("/x/a\\b", '"/x/a\\\\b"'),
    ("", '""'),
]


@pytest.mark.parametrize(("word", "written"), QUOTED)
def test_words_are_quoted_as_systemd_reads_them(word: str, written: str) -> None:
    assert command_line([word]) == written


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/evil", "a\x00", "tab\there"])
def test_a_path_cannot_bring_a_line_of_its_own(word: str) -> None:
    with pytest.raises(UsageError):
        command_line([word])
    with pytest.raises(UsageError):
        replace(UNIT, folder=Path(f"/x/{word}")).text()


def test_the_watch_over_the_config_starts_what_gave_up_because_of_it() -> None:
    assert watch_text("rescue", HOME / ".engine-rescue/engine.json", system=False) == (
        "[Unit]\nDescription=Engine Gateway (profile: rescue): its config is watched\n\n"
        "[Path]\nPathChanged=/home/ann/.engine-rescue/engine.json\n"
        "Unit=engine-gateway-rescue.service\n\n"
        "[Install]\nWantedBy=default.target\n"
    )


def test_a_unit_tells_the_port_it_names() -> None:
    assert port_of(UNIT.text()) == 18789
    assert port_of(replace(UNIT, environment={}).text()) is None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize(
    "unit",
    [
        UNIT,
        replace(UNIT, user="root"),
        replace(UNIT, folder=Path("/tmp"), environment={"A": 'x "y" 100% $z'}),  # noqa: S108 - named only
    ],
    ids=["user", "system", "odd"],
)
def test_systemd_itself_takes_the_unit(unit: Unit, tmp_path: Path) -> None:
    file = tmp_path / "engine-gateway-test.service"
    file.write_text(replace(unit, command=("/bin/true",)).text())
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if file.name in line]
    assert not ours


def test_drift_names_the_lines_that_differ() -> None:
    newer = replace(UNIT, version="0.2.0").text()
    assert "- Description=Engine Gateway (profile: default, v0.1.0)" in drift(EXPECTED, newer)
    assert "+ Description=Engine Gateway (profile: default, v0.2.0)" in drift(EXPECTED, newer)
    assert drift(EXPECTED, EXPECTED) == []


def test_the_launchd_agent_says_the_same() -> None:
    text = agent.text(
        profile="rescue",
        version="0.1.0",
        command=UNIT.command,
        folder=HOME,
        logs=HOME / ".engine-rescue/logs",
        environment={"A": "<&>"},
    )
    said = plistlib.loads(text.encode())
    assert said["Label"] == "ai.engine.rescue"
    assert said["ProgramArguments"] == list(UNIT.command)
    assert (said["KeepAlive"], said["Umask"]) == (True, 0o077)
    assert said["EnvironmentVariables"] == {"A": "<&>"}


@pytest.mark.parametrize(
    "place",
    ["/tmp/x/bin/python", "/home/ann/.cache/uv/environments-v2/a/bin/python"],  # noqa: S108
)
def test_an_interpreter_that_will_be_gone_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="cleared"):
        files.refuse_passing(Path(place), Path("/tmp"))  # noqa: S108


def test_an_interpreter_that_stays_is_taken() -> None:
    files.refuse_passing(Path("/home/ann/.local/pipx/venvs/engine/bin/python"), Path("/tmp"))  # noqa: S108


def test_a_unit_is_written_whole_and_others_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "systemd" / "user" / UNIT.name
    files.write(file, UNIT.text())
    assert files.read(file) == UNIT.text()
    assert [path.name for path in file.parent.iterdir()] == [UNIT.name]
    assert files.read(file.with_name("other")) is None
