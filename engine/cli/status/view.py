"""What one `engine status` learns: every part by itself, side by side, none waits for another.

operations.md §9.5: at most a second; a part that does not answer is told as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from engine.cli import at_rest
from engine.cli.ask import Line
from engine.cli.channels.commands import broken
from engine.cli.place import Place
from engine.clock import SystemClock
from gateway.client import Client
from jobs.errors import EngineError, GatewayDown, Suspended
from jobs.wallclock import zone


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What was learnt for one status."""

    place: Place
    now: datetime
    down: EngineError | None = None
    answers: Mapping[str, Any] = field(default_factory=dict)
    invalid: EngineError | None = None
    service: Mapping[str, Any] = field(default_factory=dict)
    lingers: bool | None = None
    security: int | None = None  # warnings of the audit; None: nobody could tell

    @property
    def where(self) -> ZoneInfo:
        """The zone in which times are told."""
        return zone(self.place.zone)


_ASKED: Final[Mapping[str, str]] = {
    "health": "health",  # measured now: a snapshot may be a minute old
    "cron": "cron.status",
    "heartbeats": "heartbeat.list",
    "channels": "channels.status",
    "last": "last-heartbeat",
}


def look(line: Line, *, deep: bool = False, usage: bool = False) -> View:
    """Ask the gateway, the service manager and the disk at once."""
    place = line.place
    place.values, place.owner, place.variables  # noqa: B018 - read before threads share them
    with ThreadPoolExecutor(max_workers=4) as pool:
        invalid = pool.submit(at_rest.config_fault, place)
        service = pool.submit(_service, place)
        security = pool.submit(_security, place)
        try:
            answers = _answers(line, deep=deep, usage=usage)
            down: EngineError | None = None
        except EngineError as error:
            answers, down = {}, error
        told, lingers = _of(service, ({}, None))
        return View(
            place=place,
            now=SystemClock().now(),
            down=down,
            answers=answers,
            invalid=invalid.result(),
            service=told,
            lingers=lingers,
            security=_of(security, None),
        )


def _of(asked: Future[Any], otherwise: Any) -> Any:
    """What a part found; one that the disk or the host refused is not told."""
    try:
        return asked.result()
    except (EngineError, OSError):
        return otherwise


def _answers(line: Line, *, deep: bool, usage: bool) -> dict[str, Any]:
    asked: dict[str, tuple[str, Mapping[str, Any] | None]] = {
        name: (method, {"probe": True} if name == "health" else None)
        for name, method in _ASKED.items()
    }
    if deep:
        asked["channels"] = ("channels.status", {"probe": True})
    if usage:
        asked["usage"] = ("heartbeat.cost", {"by": "agent"})
    with line.open() as client:
        return {name: _asked(client, *words) for name, words in asked.items()}


def _asked(client: Client, method: str, params: Mapping[str, Any] | None) -> Any:
    """One part; a part that fails is told as such and never ends the report."""
    try:
        return client.call(method, params)
    except GatewayDown:
        raise
    except Suspended as error:
        why = "its host holds it: nothing begins, and nothing is lost"
        raise Suspended("the gateway is suspended", why=why, fix=error.fix) from error
    except EngineError as error:
        return {"error": str(error)}


def _service(place: Place) -> tuple[Mapping[str, Any], bool | None]:
    from engine.cli.gateway.report.host import survives_logout
    from engine.cli.gateway.report.look import service_of

    return service_of(place), survives_logout(place)


def _security(place: Place) -> int:
    from engine.security import Severity, survey

    found = survey(place.paths, place.environ, SystemClock().now()).findings
    return sum(one.severity is not Severity.INFO for one in found)


def failing_parts(view: View) -> Mapping[str, str]:
    """The parts of the gateway that do not work now, or did not answer, each with its reason."""
    refused = {
        name: str(answer["error"])
        for name, answer in view.answers.items()
        if isinstance(answer, Mapping) and set(answer) == {"error"}
    }
    accounts = broken(part(view, "channels"))
    return {**(part(view, "health").get("failing") or {}), **accounts, **refused}


def troubles(view: View) -> Sequence[Mapping[str, Any]]:
    """What the record of the last turns, runs and messages says does not work."""
    return list(part(view, "health").get("troubles") or ())


def part(view: View, name: str) -> Mapping[str, Any]:
    """Return what was told of a part; empty where it was not."""
    found = view.answers.get(name)
    return found if isinstance(found, Mapping) else {}
