"""Who is around, and for how long it is told (protocol.md §7.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.protocol.handshake import Client, Session
from gateway.rpc.presence import LONGEST, MAX_ENTRIES, TTL, Presence, SelfEntry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def session(conn: str, device: str | None = None, client: str = "test", **told: str) -> Session:
    mode = {"cli": "cli", "gateway-client": "backend", "openclaw-probe": "probe"}.get(
        client, "test"
    )
    who = {"id": client, "mode": mode, "version": "1", "platform": "linux", **told}
    return Session(
        conn_id=conn,
        protocol=4,
        client=Client.model_validate(who),
        role="operator",
        scopes=("operator.read",),
        caps=frozenset(),
        auth_method="token",
        device_id=device,
    )


@pytest.fixture
def presence() -> Presence:
    return Presence(SelfEntry(host="box", ip="127.0.0.1", version="1"))


def reasons(presence: Presence, now: datetime = NOW) -> list[object]:
    return [entry["reason"] for entry in presence.listing(now)]


def test_a_client_is_told_while_it_is_here_and_a_while_after(presence: Presence) -> None:
    assert presence.connected(session("c"), "127.0.0.1", NOW)
    assert reasons(presence, NOW + timedelta(days=1)) == ["self", "connect"]
    assert presence.disconnected(session("c"), NOW)
    assert reasons(presence) == ["self", "disconnect"]
    assert reasons(presence, NOW + TTL + timedelta(seconds=1)) == ["self"]


@pytest.mark.parametrize("client", ["cli", "gateway-client", "openclaw-probe"])
def test_one_shot_clients_leave_no_trace(presence: Presence, client: str) -> None:
    assert not presence.connected(session("c", client=client), "127.0.0.1", NOW)
    assert not presence.disconnected(session("c", client=client), NOW)
    assert reasons(presence) == ["self"]


def test_a_device_that_is_here_twice_has_not_left_when_one_of_them_goes(presence: Presence) -> None:
    for conn in ("old", "new"):
        presence.connected(session(conn, "device"), "127.0.0.1", NOW)
    assert not presence.disconnected(session("old", "device"), NOW)
    assert reasons(presence) == ["self", "connect"]
    assert presence.disconnected(session("new", "device"), NOW)
    assert reasons(presence) == ["self", "disconnect"]


def test_the_table_is_bounded_and_so_is_a_line_of_it(presence: Presence) -> None:
    for number in range(MAX_ENTRIES + 10):
        one = session(str(number), displayName="x" * 10_000, platform="y" * 10_000)
        presence.connected(one, "127.0.0.1", NOW + timedelta(seconds=number))
    listed = presence.listing(NOW + timedelta(seconds=MAX_ENTRIES + 10))
    assert len(listed) == MAX_ENTRIES + 1
    assert max(len(str(value)) for entry in listed for value in entry.values()) <= LONGEST
