"""The first links of the way, which only this machine can tell: config, process, log-out."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from engine.cli.place import Place, shown
from engine.cli.render import one_line
from engine.clock import SystemClock
from engine.why import Code, Link, Standing
from gateway import exits
from jobs.errors import AccessRefused, EngineError, GatewayDown
from jobs.wallclock import zone

SYSTEMD: Final = Path("/run/systemd/system")
LINGER: Final = Path("/var/lib/systemd/linger")


def outer(place: Place, invalid: EngineError | None, down: EngineError | None) -> Iterator[Link]:
    """Yield the links before those a gateway tells; ``down`` is why it does not."""
    running = down is None or isinstance(down, AccessRefused)
    yield _config(place, invalid, running=running, answers=down is None)
    yield _gateway(place, down)
    yield _logout(running=running)


def _config(place: Place, invalid: EngineError | None, *, running: bool, answers: bool) -> Link:
    """Whether the file can be used; a gateway that answers goes on with the one it read before."""
    file = shown(place.paths.config, place.paths)
    if invalid is not None:
        listed = invalid.detail.get("issues")
        issues = listed if isinstance(listed, list) and listed else [{"message": invalid.what}]
        goes_on = "; the gateway goes on with the one before" if answers else ""
        return Link(
            code=Code.CONFIG,
            state=Standing.WARN if answers else Standing.BROKEN,
            reason="invalid",
            what=f"the config {file} cannot be used: {_issue(issues[0])}{goes_on}",
            fix="engine config validate",
        )
    if place.paths.config.is_file():
        return Link(code=Code.CONFIG, state=Standing.OK, what=f"{file} loads")
    return Link(
        code=Code.CONFIG,
        state=Standing.WARN if running else Standing.BROKEN,
        reason="missing",
        what=f"there is no config {file}",
        fix="engine setup",
    )


def _issue(issue: Mapping[str, Any]) -> str:
    where = f"line {issue['line']}: " if issue.get("line") else ""
    return where + one_line(issue.get("message") or "")


def _gateway(place: Place, down: EngineError | None) -> Link:
    owner = place.owner
    if down is None:
        return Link(code=Code.GATEWAY, state=Standing.OK, what="the gateway runs and answers")
    if isinstance(down, GatewayDown) and owner is not None and owner.port is None:
        return Link(
            code=Code.GATEWAY,
            state=Standing.BROKEN,
            reason="unreachable",
            what=f"the gateway is starting (pid {owner.pid}) and does not listen yet",
            fix=f"{place.program} gateway status",
        )
    if isinstance(down, AccessRefused):
        reason, what = "auth", f"the gateway refuses this command ({down.why or down.what})"
    elif isinstance(down, GatewayDown) and owner is None:
        reason, what = "stopped", f"the gateway does not run{_last_exit(place)}"
    else:
        reason, what = "unreachable", f"the gateway does not answer ({down.why or down.what})"
    return Link(
        code=Code.GATEWAY,
        state=Standing.BROKEN,
        reason=reason,
        what=what,
        fix=_start(place) if reason == "stopped" else down.fix,
    )


def _start(place: Place) -> str:
    """What starts it: its service where there is one, else the program itself."""
    from engine.cli.service import find

    return "engine gateway" if find(place) is None else "engine gateway start"


def _last_exit(place: Place) -> str:
    """How the last one ended, where it left word."""
    ended = exits.read(place.paths.state)
    now = SystemClock().now()
    return "" if ended is None else f" ({ended.at_local(zone(place.zone), now)})"


def _logout(*, running: bool) -> Link:
    """Whether a user's service outlives the log-out: systemd ends it unless lingering is on."""
    if not SYSTEMD.exists():
        return Link(
            code=Code.LOGOUT, state=Standing.UNKNOWN, what="this machine has no systemd to ask"
        )
    user = getpass.getuser()
    if os.geteuid() == 0 or (LINGER / user).exists():
        return Link(
            code=Code.LOGOUT, state=Standing.OK, what="services of this user survive logout"
        )
    return Link(
        code=Code.LOGOUT,
        state=Standing.WARN if running else Standing.BROKEN,
        reason="linger-off",
        what=f"services of {user} end when {user} logs out (lingering is off)",
        fix=f"loginctl enable-linger {user}",
    )
