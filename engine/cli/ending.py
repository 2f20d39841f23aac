"""How every command ends: its JSON, its refusals, its exit status (operations.md §14.1, §14.2).

Imports nothing slow: the quick commands end the same way.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from jobs.errors import EngineError

INTERRUPTED: Final = 130


def guarded(command: Callable[[], int]) -> int:
    """Run a command and return its exit status, also when nobody reads or waits any more."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a stream that is no file has no encoding to fail in
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # where it has none: suppressed
    try:
        status = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has left; the interpreter must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def version() -> int:
    """Print the version, and nothing else."""
    from engine import __version__

    sys.stdout.write(f"engine {__version__} (release)\n")
    return 0


def dumped(value: Any) -> str:
    """JSON as the command line prints it."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def sentence(error: EngineError) -> str:
    """What and why, without the next step."""
    return f"{error.what}: {error.why}" if error.why else error.what


def refuse(error: EngineError, *, as_json: bool) -> int:
    """Print what, why and the next step; return the exit status."""
    sys.stderr.write(f"{sentence(error)}\n")
    if error.fix:
        sys.stderr.write(f"Fix: {error.fix}\n")
    if as_json:
        sys.stdout.write(f"{dumped(error_json(error))}\n")
    return error.exit_status


def error_json(error: EngineError) -> dict[str, Any]:
    """The error as `--json` prints it."""
    told: dict[str, Any] = {
        "type": str(error.detail.get("type") or type(error).__name__),
        "code": _wire_code(error) or error.code,
        "message": sentence(error),
    }
    if error.fix:
        told["fix"] = error.fix
    for key in ("cause", "issues"):
        if key in error.detail:
            told[key] = error.detail[key]
    answer: dict[str, Any] = {"ok": False, "error": told}
    if "gateway" in error.detail:
        answer["gateway"] = error.detail["gateway"]
    return answer


def _wire_code(error: EngineError) -> str | None:
    wire = error.detail.get("error")
    details = wire.get("details") if isinstance(wire, Mapping) else None
    code = details.get("code") if isinstance(details, Mapping) else None
    return str(code) if code else None
