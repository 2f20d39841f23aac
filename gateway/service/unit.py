"""What the unit file of a gateway says, and how an installed one differs. Pure.

operations.md §8.1. No secret stands in it: the service reads config, `.env` and references
itself, so that a token has one place. A wedged loop is restarted (`WatchdogSec`), a crash loop
is never given up on, and exit 78 is not tried again.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jobs.errors import UsageError

_HIDDEN: Final = ("TOKEN", "PASSWORD", "SECRET", "KEY")
STEPS_SINCE: Final = 254  # of systemd: RestartSteps and RestartMaxDelaySec
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@+,")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A gateway as a service. ``environment`` holds no secret."""

    profile: str
    version: str
    command: tuple[str, ...]
    folder: Path  # in which it runs
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None  # of a system unit; None: a unit of the user
    group: str | None = None
    systemd: int = 0  # its version, 0 if that is not known

    @property
    def name(self) -> str:
        """`engine-gateway.service`, with the profile unless it is the default."""
        return f"{label(self.profile)}.service"

    def text(self) -> str:
        """Return the file."""
        service = [
            ("Type", "notify"),
            ("ExecStart", command_line(self.command)),
            ("WorkingDirectory", _path(self.folder)),
            *([("User", self.user)] if self.user else []),
            *([("Group", self.group)] if self.group else []),
            ("Restart", "always"),
            ("RestartSec", "5"),
            *(_STEPS if self.systemd >= STEPS_SINCE else ()),
            ("RestartPreventExitStatus", "78"),
            ("SuccessExitStatus", "0 143"),
            ("TimeoutStartSec", "30"),
            ("TimeoutStopSec", "30"),
            ("WatchdogSec", "90"),
            ("KillMode", "control-group"),
            ("KillSignal", "SIGTERM"),
            ("UMask", "0077"),
            *(("Environment", _quoted(f"{k}={v}")) for k, v in self.environment.items()),
        ]
        sections = (
            (
                "Unit",
                [
                    ("Description", f"Engine Gateway (profile: {self.profile}, v{self.version})"),
                    ("After", "network-online.target"),
                    ("Wants", "network-online.target"),
                    ("StartLimitIntervalSec", "0"),
                ],
            ),
            ("Service", service),
            ("Install", [("WantedBy", "multi-user.target" if self.user else "default.target")]),
        )
        return "\n".join(_section(name, lines) for name, lines in sections)


def watch_text(profile: str, config: Path, *, system: bool) -> str:
    """The path unit that starts a gateway whose config was edited (operations.md §6.2).

    One that runs is left alone; one that ended with 78 because of its config begins again.
    """
    wanted = "multi-user.target" if system else "default.target"
    what = f"Engine Gateway (profile: {profile}): its config is watched"
    sections = (
        ("Unit", [("Description", what)]),
        ("Path", [("PathChanged", _path(config)), ("Unit", f"{label(profile)}.service")]),
        ("Install", [("WantedBy", wanted)]),
    )
    return "\n".join(_section(name, lines) for name, lines in sections)


def port_of(text: str) -> int | None:
    """The port a unit names, if it names one."""
    pinned = said_by(text)[1].get("ENGINE_GATEWAY_PORT", "")
    return int(pinned) if pinned.isdecimal() else None


_STEPS: Final = (("RestartSteps", "6"), ("RestartMaxDelaySec", "300"))


def label(profile: str) -> str:
    """The name of a profile's service, without its kind."""
    return "engine-gateway" if profile == "default" else f"engine-gateway-{profile}"


def environment(
    *,
    profile: str,
    version: str,
    port: int | None,
    state: Path | None,
    config: Path | None,
    path: Sequence[Path],
) -> dict[str, str]:
    """Return what the service finds in its environment; places only where they are not usual."""
    said = {
        "ENGINE_SERVICE_MARKER": "engine",
        "ENGINE_SERVICE_KIND": "gateway",
        "ENGINE_SERVICE_VERSION": version,
    }
    if port is not None:
        said["ENGINE_GATEWAY_PORT"] = str(port)
    if profile != "default":
        said["ENGINE_PROFILE"] = profile
    if state is not None:
        said["ENGINE_STATE_DIR"] = str(state)
    if config is not None:
        said["ENGINE_CONFIG_PATH"] = str(config)
    said["PATH"] = ":".join(dict.fromkeys(str(folder) for folder in path))
    return said


def said_by(text: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a unit file; what is secret is only `set`."""
    command: list[str] = []
    environ: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        try:
            words = shlex.split(value.replace("%%", "%"))
        except ValueError:
            continue
        if key == "ExecStart":
            command = [word.replace("$$", "$") for word in words]
        elif key == "Environment":
            for word in words:
                name, _, given = word.partition("=")
                secret = any(mark in name.upper() for mark in _HIDDEN)
                environ[name] = "set" if secret else given
    return command, environ


def drift(installed: str, wanted: str) -> list[str]:
    """Return how an installed file differs, a line each: `- ` is there, `+ ` would be."""
    there, here = installed.splitlines(), wanted.splitlines()
    gone = [f"- {line}" for line in there if line.strip() and line not in here]
    new = [f"+ {line}" for line in here if line.strip() and line not in there]
    return gone + new


def command_line(words: Sequence[str]) -> str:
    """Return words as systemd reads them back (systemd.service(5), "command lines")."""
    return " ".join(_quoted(word.replace("$", "$$")) for word in words)


def _section(name: str, lines: Sequence[tuple[str, str]]) -> str:
    return "".join((f"[{name}]\n", *(f"{key}={value}\n" for key, value in lines)))


def _quoted(text: str) -> str:
    """Quote what systemd would split or expand: spaces, quotes, backslashes, per cent signs."""
    if any(ord(char) < ord(" ") for char in text):
        raise UsageError(
            "no service was written",
            why=f"{text!r} has a control character",
            fix="use a path without one",
        )
    text = text.replace("%", "%%")
    if text and set(text) <= _PLAIN | {"%", "$"}:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _path(path: Path) -> str:
    """A path in a setting that takes one: it is not unquoted there, only expanded."""
    _quoted(str(path))
    return str(path).replace("%", "%%")
