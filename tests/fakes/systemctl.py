"""A stand-in for `systemctl --user`: keeps one unit running, as far as the engine asks for it.

Run as a program named `systemctl`; what it knows lies in the folder FAKE_SYSTEMD. It reads the
unit file as it was written, so a wrong line is found here too.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

KNOWN = Path(os.environ["FAKE_SYSTEMD"])
PID, ENABLED = KNOWN / "pid", KNOWN / "enabled"


def say(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def unit(name: str) -> tuple[list[str], dict[str, str]]:
    """The command and the environment of a unit of this user."""
    text = (Path(os.environ["HOME"]) / ".config/systemd/user" / name).read_text("utf-8")
    command: list[str] = []
    environ: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "ExecStart":
            command = [word.replace("$$", "$") for word in shlex.split(value.replace("%%", "%"))]
        elif key == "Environment":
            name, _, told = shlex.split(value.replace("%%", "%"))[0].partition("=")
            environ[name] = told
    return command, environ


def pid() -> int | None:
    """The process, if it lives."""
    if not PID.exists():
        return None
    number = int(PID.read_text())
    stat = Path(f"/proc/{number}/stat")
    return (
        number if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z" else None
    )


def start(name: str) -> None:
    """Start it, as a manager does: with an environment of its own."""
    if pid() is not None:
        return
    command, environ = unit(name)
    environ |= {"HOME": os.environ["HOME"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    process = subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    PID.write_text(str(process.pid))


def stop() -> None:
    """Stop it, and wait until it is gone."""
    if (number := pid()) is not None:
        watched = os.pidfd_open(number)
        os.kill(number, signal.SIGTERM)
        select.select([watched], [], [], 30)


def show() -> None:
    """What `systemctl show` answers."""
    number = pid()
    say("LoadState=loaded")
    say(f"UnitFileState={'enabled' if ENABLED.exists() else 'disabled'}")
    say(f"ActiveState={'active' if number else 'inactive'}")
    say(f"SubState={'running' if number else 'dead'}")
    say(f"MainPID={number or 0}")


def called(words: list[str]) -> list[str]:
    """The verb and its unit; a path unit is let be."""
    if words[-1].endswith(".path"):
        return ["daemon-reload"]
    return [word for word in words if word not in ("--user", "--now")]


def main(words: list[str]) -> int:
    """One call."""
    with (KNOWN / "calls").open("a") as calls:
        calls.write(" ".join(words) + "\n")
    match called(words):
        case ["is-system-running"]:
            say("running")
        case ["--version"]:
            say("systemd 252 (252.1)")
        case ["show", *_]:
            show()
        case ["enable", _]:
            ENABLED.touch()
        case ["disable", _]:
            ENABLED.unlink(missing_ok=True)
            stop()
        case ["start", name]:
            start(name)
        case ["stop", _]:
            stop()
        case ["restart", name]:
            stop()
            start(name)
        case ["daemon-reload"]:
            pass
        case _:
            sys.stderr.write(f"Unknown command verb {words}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
