"""A port of its own for a channel that is called from outside (channels.md §9)."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from gateway.channels.telegram.door import Asgi, Port, Receive, Send
from gateway.server import Server, bind
from jobs.errors import OwnershipRefused


async def listen(app: Asgi, host: str, port: int) -> Port:
    """Open a port for an application, with the gateway's own limits on what comes in."""
    try:
        sockets = bind([host], port)
    except OwnershipRefused as refused:
        raise OwnershipRefused(
            f"port {port} is not to be had for a webhook",
            why=refused.why or refused.what.partition(". ")[0],
            fix="set another webhookPort and lead your proxy there",
        ) from refused
    server = Server(websocket=_nobody_talks, http=app, sockets=sockets)
    try:
        await server.__aenter__()
    except BaseException:  # whoever is cancelled in between leaves no port open behind
        await server.stop()
        raise
    return server


async def _nobody_talks(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:  # noqa: ARG001 - as ASGI calls it
    await send({"type": "websocket.close", "code": 1008})
