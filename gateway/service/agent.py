"""The gateway as a launchd agent (operations.md §8.3). Pure."""

from __future__ import annotations

import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.parsers.expat import ExpatError


def label(profile: str) -> str:
    """The name launchd knows a profile's gateway by."""
    return "ai.engine.gateway" if profile == "default" else f"ai.engine.{profile}"


def said_by(text: str) -> tuple[list[str], dict[str, str]]:
    """Return the command and the environment of a property list; nothing of one that is none."""
    try:
        told = plistlib.loads(text.encode())
    except (ValueError, plistlib.InvalidFileException, ExpatError):
        return [], {}
    environ = told.get("EnvironmentVariables") or {}
    return [str(word) for word in told.get("ProgramArguments") or ()], dict(environ)


def text(
    *,
    profile: str,
    version: str,
    command: Sequence[str],
    folder: Path,
    logs: Path,
    environment: Mapping[str, str],
) -> str:
    """Return the property list; no secret stands in it."""
    told = {
        "Label": label(profile),
        "Comment": f"Engine Gateway (profile: {profile}, v{version})",
        "ProgramArguments": list(command),
        "WorkingDirectory": str(folder),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 5,
        "ExitTimeOut": 30,
        "Umask": 0o077,
        "StandardOutPath": str(logs / "launchd.out.log"),
        "StandardErrorPath": str(logs / "launchd.err.log"),
        "EnvironmentVariables": dict(environment),
    }
    return plistlib.dumps(told, sort_keys=False).decode()
