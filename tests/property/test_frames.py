"""Whatever comes over the wire is answered once, in words, and breaks nothing (§2, §15)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st

from engine.testing import ManualClock
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy
from gateway.auth.proxy import Networks, ProxyRule, client_of
from gateway.connection import Door, _Line
from gateway.fanout import Fanout
from gateway.protocol import frames
from gateway.protocol.handshake import Client, Connect, Handshake, Phase, Session
from gateway.protocol.methods import METHODS, Scope
from gateway.rpc.desk import Desk, new_desk
from gateway.rpc.presence import Presence, SelfEntry
from tests.fakes.device_proof import Signer
from tests.fakes.gateway_core import FakeCore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
# They wait for a turn, which here never ends.
WAITING = {"agent", "agent.wait", "chat.send"}
FUZZ = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A call of a known method with some of its own keys, and anything in them."""
    method = METHODS[draw(st.sampled_from(sorted(METHODS.keys() - WAITING)))]
    keys = [info.alias or name for name, info in method.params.model_fields.items()]
    names = st.sampled_from(keys) | st.text(max_size=4) if keys else st.text(max_size=4)
    params = draw(st.dictionaries(names, JSON, max_size=4) | JSON)
    return {
        "type": "req",
        "id": draw(st.text(min_size=1, max_size=4)),
        "method": method.name,
        "params": params,
    }


class Paper:
    """A wire that keeps what is written on it."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.closed: tuple[int, str] | None = None

    def write(self, text: str) -> None:
        self.written.append(text)

    def write_all(self, texts: Sequence[bytes]) -> None:
        self.written += [text.decode() for text in texts]

    def buffered(self) -> int:
        return 0

    def widen(self) -> None: ...

    def offer(self, at_hand: Callable[[bytes], bool]) -> None: ...

    def end(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


def session(role: str = "operator") -> Session:
    client = Client.model_validate({"id": "cli", "mode": "cli", "version": "1", "platform": "x"})
    return Session(
        conn_id="c",
        protocol=4,
        client=client,
        role=role,
        scopes=tuple(Scope),
        caps=frozenset(),
        auth_method="token",
    )


async def told(frame: str | bytes, role: str = "operator") -> Paper:
    """What one frame after hello is answered."""
    clock = ManualClock(NOW)
    own = Presence(SelfEntry(host="box", ip="127.0.0.1", version="1"))
    fanout = Fanout(dict)
    desk: Desk = new_desk(FakeCore(), clock, own, fanout.publish, fanout.tell, fanout.end)
    door = Door(
        desk=desk,
        gatekeeper=Gatekeeper(Policy(mode=Mode.NONE)),
        fanout=fanout,
        clock=clock,
        hello=lambda _: {},
        phase=lambda: Phase.READY,
    )
    paper = Paper()
    line = _Line(door, session(role), paper, "127.0.0.1")
    await line.take(frame)
    while running := tuple(desk.tasks._running):
        await asyncio.wait(running, timeout=5)
    await desk.tasks.close()
    return paper


@FUZZ
@given(requests())
def test_every_call_is_answered_once_under_its_id_and_no_handler_breaks(
    frame: dict[str, Any],
) -> None:
    paper = asyncio.run(told(json.dumps(frame)))
    (answer,) = [json.loads(text) for text in paper.written]
    assert answer["id"] == frame["id"]
    assert paper.closed is None
    if not answer["ok"]:
        assert answer["error"]["message"]
        assert "failed inside the gateway" not in answer["error"]["message"], frame


@FUZZ
@given(st.text(max_size=60) | st.binary(max_size=60) | JSON.map(json.dumps))
def test_any_bytes_after_hello_are_answered_or_passed_over_and_close_nothing(
    raw: str | bytes,
) -> None:
    try:
        paper = asyncio.run(told(raw))
    except UnicodeEncodeError:  # half a character is no text a socket could bring
        return
    assert len(paper.written) <= 1
    assert paper.closed is None


FIELDS = st.sampled_from(["type", "id", "method", "params", "traceparent", "more"])


@FUZZ
@given(
    st.dictionaries(FIELDS, st.sampled_from(["req", "res", "", "x"]) | JSON, max_size=5)
    | st.fixed_dictionaries(
        {"type": st.just("req"), "id": st.text(max_size=2), "method": st.just("health")},
        optional={"params": JSON, "traceparent": st.just("00-1")},
    )
)
def test_the_short_way_of_a_plain_request_and_the_model_never_disagree(value: Any) -> None:
    plain = frames._plain(value)
    if plain is not None:
        told = frames.RequestFrame.model_validate(value)
        assert (plain.id, plain.method) == (told.id, told.method)
        assert plain.params == ({} if told.params is None else told.params)
        assert told.traceparent is None


GOOD = {
    "minProtocol": 3,
    "maxProtocol": 4,
    "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"},
    "scopes": ["operator.admin"],
    "auth": {"token": "right"},
}
PROXY = Policy(
    mode=Mode.TRUSTED_PROXY,
    password="right",
    proxy=ProxyRule(user_header="x-user"),
    proxies=Networks.of(("10.0.0.0/8", "::1")),
)
TOKEN = Policy(mode=Mode.TOKEN, token="right", proxies=PROXY.proxies)
HEADERS = st.dictionaries(
    st.sampled_from(["host", "origin", "forwarded", "x-forwarded-for", "x-real-ip", "x-user",
                     "x-openclaw-scopes", "authorization"]),
    st.text(st.characters(max_codepoint=255), max_size=20)
    | st.sampled_from(["127.0.0.1", "[::1]:1", "http://localhost", "http://[", ", ,", "1.2.3.4:5"]),
    max_size=5,
)  # fmt: skip
HOSTS = st.sampled_from(
    ["127.0.0.1", "::1", "10.0.0.1", "203.0.113.9", "", "unix", "::ffff:10.0.0.1"]
)


@FUZZ
@given(HEADERS, HOSTS, st.sampled_from([TOKEN, PROXY]))
def test_no_header_breaks_the_judge_and_none_makes_a_stranger_local(
    headers: Mapping[str, str], host: str, policy: Policy
) -> None:
    peer = Peer(host=host, headers=headers)
    keeper = Gatekeeper(policy)
    keeper.judge(Connect.model_validate(GOOD), "n", NOW, peer)
    keeper.visit(peer, NOW)
    assert client_of(peer, policy.proxies) is not None
    if host not in ("127.0.0.1", "::1"):
        assert not peer.local


PARTS = ("id", "publicKey", "signature", "signedAt", "nonce")


@FUZZ
@given(st.sampled_from(PARTS), JSON, st.booleans())
def test_a_proof_with_one_part_changed_lets_nobody_in(part: str, value: Any, drop: bool) -> None:
    params = Signer().sign(GOOD, "n", int(NOW.timestamp() * 1000))
    device = dict(params["device"])
    if device[part] == value:
        return
    if drop:
        del device[part]
    else:
        device[part] = value
    keeper = Gatekeeper(TOKEN)
    peer = Peer(host="127.0.0.1", headers={"host": "localhost"})
    shaking = Handshake(
        conn_id="c",
        nonce="n",
        judge=lambda connect, nonce, now: keeper.judge(connect, nonce, now, peer),
        hello=lambda _: {},
        phase=lambda: Phase.READY,
    )
    frame = {"type": "req", "id": "1", "method": "connect", "params": {**params, "device": device}}
    steps = shaking.receive(json.dumps(frame), NOW)
    assert shaking.session is None
    assert "right" not in repr(steps)


@FUZZ
@given(st.text(max_size=200))
def test_a_close_reason_always_fits_its_frame(text: str) -> None:
    cut = frames.close_reason(text.encode("utf-8", "ignore").decode())
    assert len(cut.encode()) <= frames.REASON_BYTES
