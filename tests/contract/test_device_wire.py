"""Devices over the wire: their proof, their token, and how they are sent away (§4, §6, §10.8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import connect

from engine.clock import SystemClock
from gateway.auth.book import Book, Change, revoked
from gateway.devices import Devices
from jobs.errors import StoreUnavailable
from jobs.store.db import Database
from jobs.wallclock import ms
from tests.fakes.device_proof import Signer
from tests.fakes.gateway_port import Port, Raw, connect_params, serving

PAIRING = ["operator.pairing", "operator.read", "operator.admin"]


@asynccontextmanager
async def homes() -> AsyncIterator[Port]:
    """A port whose devices lie in a store."""
    database = await Database.memory()
    async with serving() as port:
        devices = Devices(database, SystemClock(), b"k" * 32, port.fanout.publish)
        port.door.gatekeeper.book = devices.book
        port.core.devices = devices
        yield port
    await database.close()


@asynccontextmanager
async def dialled(port: Port) -> AsyncIterator[tuple[Raw, str]]:
    async with connect(port.url, max_size=None, proxy=None) as socket:
        client = Raw(socket)
        challenge = await client.frame()
        yield client, challenge["payload"]["nonce"]


def now_ms() -> int:
    return ms(SystemClock().now())


async def hello(raw: Raw, nonce: str, signer: Signer, **changes: Any) -> dict[str, Any]:
    params = signer.sign(connect_params(**changes), nonce, now_ms())
    answer: dict[str, Any] = await raw.ask("connect", params, "hello")
    return answer


@pytest.mark.parametrize("wire", [3, 4])
async def test_a_device_is_paired_gets_a_token_and_comes_again_with_it(wire: int) -> None:
    spoken = {"minProtocol": wire, "maxProtocol": wire}
    async with homes() as port:
        async with dialled(port) as (client, nonce):
            first = await hello(client, nonce, Signer(), scopes=["operator.read"], **spoken)
            auth = first["payload"]["auth"]
            assert auth["scopes"] == ["operator.read"]
            assert auth["issuedAtMs"] > 0
            assert auth.get("method") == ("token" if wire == 4 else None)
        async with dialled(port) as (client, nonce):
            shown = {"deviceToken": auth["deviceToken"]}
            again = await hello(
                client, nonce, Signer(), scopes=["operator.read"], auth=shown, **spoken
            )
            assert again["ok"]
            assert again["payload"]["auth"]["deviceToken"] == auth["deviceToken"]


async def test_a_proof_replayed_on_another_socket_is_refused() -> None:
    async with homes() as port:
        async with dialled(port) as (client, nonce):
            params = Signer().sign(connect_params(), nonce, now_ms())
            assert (await client.ask("connect", params))["ok"]
        async with dialled(port) as (client, _):
            refused = await client.ask("connect", params)
            assert refused["error"]["details"]["code"] == "DEVICE_AUTH_NONCE_MISMATCH"
            assert (await client.ended())[0] == 1008


async def test_an_old_proof_is_refused() -> None:
    async with homes() as port, dialled(port) as (client, nonce):
        stale = Signer().sign(connect_params(), nonce, now_ms() - 121_000)
        refused = await client.ask("connect", stale)
        assert refused["error"]["details"]["code"] == "DEVICE_AUTH_SIGNATURE_EXPIRED"


async def test_a_removed_device_is_cut_off_with_a_reason_and_others_are_not() -> None:
    async with homes() as port, dialled(port) as (boss, nonce), dialled(port) as (other, second):
        await hello(boss, nonce, Signer(1), scopes=PAIRING)
        await hello(other, second, Signer(2), scopes=["operator.read"])
        answer = await boss.ask("device.pair.remove", {"deviceId": Signer(2).id})
        assert answer["payload"] == {"deviceId": Signer(2).id}
        assert await other.ended() == (4001, "client invalidated: device removed")
        assert (await boss.ask("health"))["ok"]


async def test_who_removes_itself_is_answered_first() -> None:
    async with homes() as port, dialled(port) as (boss, nonce):
        await hello(boss, nonce, Signer(1), scopes=PAIRING)
        assert (await boss.ask("device.pair.remove", {"deviceId": Signer(1).id}))["ok"]
        assert (await boss.ended())[0] == 4001


async def test_only_the_device_itself_is_told_its_new_token() -> None:
    async with homes() as port, dialled(port) as (boss, nonce), dialled(port) as (other, second):
        await hello(boss, nonce, Signer(1), scopes=PAIRING)
        await hello(other, second, Signer(2), scopes=["operator.read"])
        rotate = {"deviceId": Signer(2).id, "role": "operator"}
        assert "token" not in (await boss.ask("device.token.rotate", rotate))["payload"]
        assert (await other.ended())[1] == "client invalidated: device token rotated"
        own = {"deviceId": Signer(1).id, "role": "operator"}
        assert len((await boss.ask("device.token.rotate", own))["payload"]["token"]) == 43


async def test_a_node_may_call_nothing_of_an_operator_and_is_cut_if_it_goes_on() -> None:
    async with homes() as port, dialled(port) as (node, nonce):
        client = {"id": "node-host", "mode": "node", "version": "1", "platform": "linux"}
        hi = await hello(node, nonce, Signer(3), role="node", scopes=[], client=client)
        assert hi["payload"]["auth"]["role"] == "node"
        assert (await node.ask("health"))["ok"]
        refused = [await node.ask("cron.list") for _ in range(11)]
        assert refused[0]["error"]["message"] == "unauthorized role: node"
        assert await node.ended() == (1008, "repeated unauthorized calls")


async def test_an_operator_may_not_answer_for_a_node() -> None:
    async with homes() as port, dialled(port) as (boss, nonce):
        await hello(boss, nonce, Signer(1), scopes=PAIRING)
        refused = await boss.ask("node.invoke.result", {"id": "x"})
        assert refused["error"]["message"] == "unauthorized role: operator"


async def test_operators_hear_of_a_device_that_asks() -> None:
    async with homes() as port, dialled(port) as (boss, nonce), dialled(port) as (node, second):
        await hello(boss, nonce, Signer(1), scopes=PAIRING)
        await hello(node, second, Signer(1), role="node", scopes=[])
        heard = await asyncio.wait_for(boss.event("device.pair.requested"), 5)
        assert heard["payload"]["reason"] == "role-upgrade"
        assert "token" not in json.dumps(heard["payload"])


async def test_a_command_line_that_asks_the_least_may_rotate_a_token_that_holds_more() -> None:
    async with homes() as port, dialled(port) as (one, nonce), dialled(port) as (cli, _):
        await hello(one, nonce, Signer(1), scopes=PAIRING)
        assert (await cli.ask("connect", connect_params(scopes=["operator.pairing"])))["ok"]
        rotated = await cli.ask("device.token.rotate", {"deviceId": Signer(1).id})
        assert rotated["payload"]["scopes"] == PAIRING


async def test_what_the_disk_refuses_lets_nobody_in_and_is_told_as_worth_another_try() -> None:
    async def refuse(_: Change) -> None:
        raise StoreUnavailable("the store is not available", why="the disk is full")

    async with serving() as port:
        port.door.gatekeeper.book = Book(b"k" * 32, refuse)
        async with dialled(port) as (client, nonce):
            refused = await hello(client, nonce, Signer())
            assert (refused["ok"], refused["error"]["retryable"]) == (False, True)
            assert (await client.ended())[0] == 1013
        assert len(port.fanout) == 0


@pytest.mark.parametrize("gone", ["device", "token", "secret"])
async def test_who_is_sent_away_while_it_is_let_in_does_not_stay(gone: str) -> None:
    async with homes() as port:
        gatekeeper, writing, go = port.door.gatekeeper, asyncio.Event(), asyncio.Event()

        async def slowly(_: Change) -> None:
            writing.set()
            await go.wait()

        book = gatekeeper.book = Book(b"k" * 32, slowly)
        async with dialled(port) as (client, nonce):
            asked = asyncio.create_task(hello(client, nonce, Signer()))
            await writing.wait()
            (device,) = book.everybody()
            if gone == "secret":
                gatekeeper.adopt(replace(gatekeeper.policy, token="of-another-day"))
            else:
                after = None if gone == "device" else revoked(device, "operator", device.created_at)
                by = Change(before=device, after=after, action="x", by="x", at=device.created_at)
                book.note(by)
            go.set()
            answer = await asked
            assert (answer["ok"], answer["error"]["retryable"]) == (False, True)
            assert await client.ended() == (1013, "gateway auth changed; connect again")


async def test_a_node_may_call_what_is_a_nodes_without_any_scope() -> None:
    async with homes() as port, dialled(port) as (client, nonce):
        assert (await hello(client, nonce, Signer(), role="node", scopes=[]))["ok"]
        told = await client.ask("node.event", {"event": "battery"})
        assert (told["ok"], told["payload"]["handled"]) == (True, False)
        assert (await client.ask("node.pending.pull", {}))["payload"] == {"items": []}
        refused = await client.ask("config.get", {})
        assert refused["error"]["message"] == "unauthorized role: node"
