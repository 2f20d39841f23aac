"""Waiting until a gateway is ready, anew, or gone; a verb ends when it is so (§8.4)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from engine.cli.ask import Line
from engine.cli.place import Place
from engine.clock import SystemClock
from gateway import exits
from gateway.lock import Owner
from jobs.errors import GatewayDown, TimedOut

READY_WITHIN: Final = timedelta(seconds=20)
_SLOW: Final = timedelta(seconds=10)  # more, for a host that is busy
_LOOK: Final = 0.1  # seconds between two looks


def await_ready(place: Place) -> int:
    """Wait until the gateway of this home answers; raise with the reason if it does not."""
    began = SystemClock().now()

    def ready() -> bool:
        ended = exits.read(place.paths.state)
        gone = _owner(place) is None and ended is not None and ended.at >= began
        if gone and ended is not None and ended.reason is not exits.Reason.RESTART:
            fix = _remedy(ended, place)
            raise GatewayDown("the gateway did not start", why=ended.sentence, fix=fix)
        return _owner(place) is not None and _answers(place)

    until(ready, "it is not ready", place)
    owner = _owner(place)
    if owner is None:
        raise GatewayDown("the gateway is gone again", fix=f"{place.program} gateway status")
    return owner.pid


def await_end(place: Place, *, within: timedelta) -> None:
    """Wait until nobody holds the home any more."""
    until(lambda: _owner(place) is None, "it did not end", place, within=within)


def boot(place: Place) -> str | None:
    """The name of the start that holds the home now."""
    owner = _owner(place)
    return None if owner is None else owner.boot_id


def until(
    there: Callable[[], bool], else_why: str, place: Place, *, within: timedelta = READY_WITHIN
) -> None:
    """Look now and then until something is so; `TimedOut` with the next step otherwise."""
    clock = SystemClock()
    end = clock.monotonic() + within + _SLOW
    while not there():
        if clock.monotonic() > end:
            fix = f"{place.program} gateway status"
            raise TimedOut("gave up waiting", why=else_why, fix=fix)
        threading.Event().wait(_LOOK)  # there is no loop here that it could block


def _remedy(ended: exits.LastExit, place: Place) -> str:
    if ended.reason is exits.Reason.CONFIG_INVALID:
        return f"{place.program} config validate"
    return f"{place.program} gateway run"


def _answers(place: Place) -> bool:
    fresh = Place(paths=place.paths, environ=place.environ)  # the lock tells the port by now
    try:
        answer = Line(place=fresh, timeout=timedelta(seconds=2)).call("health", {"probe": True})
    except (GatewayDown, TimedOut):
        return False
    return bool(answer.get("ok", True))


def _owner(place: Place) -> Owner | None:
    return Place(paths=place.paths, environ=place.environ).owner
