"""Puts the rooms of the site together, in the order they are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.clock import Clock
from engine.config.schema.gateway import Http
from gateway.auth.gatekeeper import Gatekeeper
from gateway.http.absent import absent
from gateway.http.dashboard.page import Dashboard
from gateway.http.guard import Guard
from gateway.http.metrics import Metrics
from gateway.http.openai import OpenAi
from gateway.http.pages import Pages, Room
from gateway.http.probes import Probes, Readiness
from gateway.http.tools import Tools
from gateway.protocol.handshake import Phase
from gateway.rpc.desk import Desk


def site(
    desk: Desk,
    gatekeeper: Gatekeeper,
    *,
    clock: Clock,
    phase: Callable[[], Phase],
    readiness: Callable[[], Readiness],
    http: Callable[[], Http],
    served: Callable[[], bool] = lambda: True,
    more: Sequence[Room] = (),
) -> Pages:
    """Return every page of the port; ``http`` is the config in force, asked per request.

    ``served`` says whether the status page is.
    """
    guard = Guard(gatekeeper, clock, phase)
    rooms = [
        Probes(gatekeeper, clock, readiness).page,
        OpenAi(desk, guard, lambda: http().endpoints).page,
        Tools(desk, guard).page,
        Metrics(desk, guard).page,
        absent,
        Dashboard(desk, gatekeeper, phase, served).page,
        *more,
    ]
    return Pages(rooms, lambda: http().security_headers.strict_transport_security or None)
