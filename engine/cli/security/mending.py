"""What `engine security audit --fix` does: permissions, and a few keys; it lists each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.cli.place import Place
from engine.security import Report
from engine.security.findings import Chmod, Fix, SetKey
from jobs.errors import EngineError


def mended(at: Place, report: Report, *, yes: bool) -> list[dict[str, Any]]:
    """Mend what the findings say can be mended; what failed is told with its reason."""
    wanted = dict.fromkeys(_key(fix) for one in report.findings for fix in one.fixes)
    fixes = {_key(fix): fix for one in report.findings for fix in one.fixes}
    return [_done(at, fixes[key], yes=yes) for key in wanted]


def _key(fix: Fix) -> tuple[str, str]:
    return type(fix).__name__, fix.path


def _done(at: Place, fix: Fix, *, yes: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"action": fix.words, "path": fix.path, "ok": True}
    try:
        match fix:
            case Chmod():
                Path(fix.path).chmod(fix.mode)
            case SetKey() if fix.needs_yes and not yes:
                return {**told, "ok": False, "error": "it needs --yes"}
            case SetKey():
                _set(at, fix)
    except (OSError, EngineError) as error:
        return {**told, "ok": False, "error": str(error)}
    return told


def _set(at: Place, fix: SetKey) -> None:
    from engine.cli.config.changing import perform
    from engine.cli.config.ops import Op

    perform(at, [Op(fix.path, fix.value)], replace=True)
