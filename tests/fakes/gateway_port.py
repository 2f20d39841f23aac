"""A gateway on a loopback port around a fake engine, and a raw client for its wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engine.clock import SystemClock
from engine.config.schema.gateway import Http
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.policy import Mode, Policy
from gateway.connection import Door, Limits
from gateway.fanout import Fanout, Moments
from gateway.http.probes import Readiness
from gateway.http.site import site
from gateway.protocol.handshake import HelloFacts, Phase, Session, hello_ok
from gateway.protocol.methods import events, names
from gateway.rpc.desk import Desk, new_desk
from gateway.rpc.presence import Presence, SelfEntry
from gateway.server import Server, bind
from tests.fakes.gateway_core import FakeCore

TOKEN = "correct-horse-battery"
ALL_OPEN = Http.model_validate(
    {"endpoints": {"chatCompletions": {"enabled": True}, "responses": {"enabled": True}}}
)
ADMIN = ("operator.admin", "operator.read", "operator.write")


@dataclass
class Port:
    """A running gateway."""

    core: FakeCore
    desk: Desk
    fanout: Fanout
    door: Door
    server: Server
    phase: Phase = Phase.READY
    http: Http = ALL_OPEN
    page: bool = True  # gateway.controlUi.enabled

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.server.port}"


def connect_params(**changes: Any) -> dict[str, Any]:
    return {
        "minProtocol": 4,
        "maxProtocol": 4,
        "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"},
        "scopes": list(ADMIN),
        "auth": {"token": TOKEN},
        **changes,
    }


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Port]:
    clock, core = SystemClock(), FakeCore()
    gatekeeper = Gatekeeper(Policy(mode=Mode.TOKEN, token=TOKEN))
    own = Presence(SelfEntry(host="box", ip="127.0.0.1", version="0.1.0"))
    fanout = Fanout(lambda: desk.state_version(), later=Moments(clock))
    desk = new_desk(core, clock, own, fanout.publish, fanout.tell, fanout.end, fanout.replay)
    desk.visits = gatekeeper.visits
    await desk.health.refresh()

    def hello(session: Session) -> Mapping[str, Any]:
        facts = HelloFacts(
            version="0.1.0",
            boot_id="boot-1",
            methods=names(session.protocol),
            events=events(session.protocol),
            presence=own.listing(clock.now()),
            health=desk.health.facts,
            state_version=desk.state_version(),
            uptime_ms=1,
            default_agent_id="main",
            main_key="main",
            config_path="/c",
            state_dir="/s",
            auth_mode="token",
            event_cursor=fanout.replay.cursor,
        )
        return hello_ok(session, facts)

    door = Door(
        desk=desk,
        gatekeeper=gatekeeper,
        fanout=fanout,
        clock=clock,
        hello=hello,
        phase=lambda: port.phase,
        limits=Limits(**limits),
    )

    def readiness() -> Readiness:
        ready = port.phase is Phase.READY
        return Readiness(
            ready=ready,
            started=ready,
            uptime_ms=1,
            version="0.1.0",
            failing=() if ready else ("scheduler",),
        )

    pages = site(
        desk,
        gatekeeper,
        clock=clock,
        phase=lambda: port.phase,
        readiness=readiness,
        http=lambda: port.http,
        served=lambda: port.page,
    )
    server = Server(websocket=door, http=pages, sockets=bind(["127.0.0.1"], 0))
    port = Port(core, desk, fanout, door, server)
    async with server:
        try:
            yield port
        finally:
            core.conversation.go.set()
            door.close_all(1012, "service restart")
            await desk.tasks.close()


class Raw:
    """A client that sends what it is told and keeps what it gets."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def frame(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self.socket.recv())
        return frame

    async def send(self, frame: object) -> None:
        await self.socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    async def ask(self, method: str, params: object = None, request_id: str = "1") -> Any:
        await self.send({"type": "req", "id": request_id, "method": method, "params": params})
        return await self.answer(request_id)

    async def answer(self, request_id: str = "1") -> dict[str, Any]:
        while True:
            frame = await self.frame()
            if frame["type"] == "res" and frame["id"] == request_id:
                return frame
            self.events.append(frame)

    async def event(self, name: str) -> dict[str, Any]:
        while True:
            frame = await self.frame()
            if frame.get("event") == name:
                return frame

    async def ended(self) -> tuple[int, str]:
        """Read on until the other side closes; its code and reason."""
        try:
            while True:
                await asyncio.wait_for(self.socket.recv(), 5)
        except ConnectionClosed as gone:
            if gone.rcvd is None:
                return 1006, ""
            return gone.rcvd.code, gone.rcvd.reason


@asynccontextmanager
async def dialled(port: Port, **options: Any) -> AsyncIterator[Raw]:
    """Connected, challenged, not yet in."""
    async with connect(port.url, max_size=None, proxy=None, **options) as socket:
        client = Raw(socket)
        challenge = await client.frame()
        assert challenge["event"] == "connect.challenge"
        yield client


@asynccontextmanager
async def inside(port: Port, **changes: Any) -> AsyncIterator[Raw]:
    """Connected and past hello."""
    async with dialled(port) as client:
        hello = await client.ask("connect", connect_params(**changes), "hello")
        assert hello["ok"], hello
        yield client


SHORT = timedelta(milliseconds=50)
