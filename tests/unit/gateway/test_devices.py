"""Devices as people manage them: rows, audit, events, and who may decide what (§10.8)."""

from __future__ import annotations

import base64
import hashlib
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.testing import ManualClock
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.pairing import Manager
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy
from gateway.auth.proof import identity_of
from gateway.auth.proxy import Networks
from gateway.devices import Devices, home_key
from gateway.protocol.handshake import Connect, Granted, Refused
from gateway.store import devices as rows
from jobs.errors import AccessRefused, ConfigInvalid, Conflict, EngineError, InvalidInput, NotFound
from jobs.store.db import Database, Tx
from tests.fakes.device_proof import Signer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEAR = Peer(host="127.0.0.1", headers={"host": "localhost"})
FAR = Peer(host="203.0.113.9", headers={"host": "gateway.example"})
READ, ADMIN = "operator.read", "operator.admin"
OPERATOR = Manager(by="rpc:cli", scopes=(ADMIN,))


class Bench:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = ManualClock(NOW)
        self.told: list[tuple[str, Any]] = []
        self.devices = self.fresh()
        self.keeper = Gatekeeper(Policy(mode=Mode.TOKEN, token="right"), self.devices.book)

    def fresh(self) -> Devices:
        return Devices(self.db, self.clock, b"k" * 32, lambda *event: self.told.append(event))

    async def connect(
        self, scope: str = READ, peer: Peer = NEAR, seed: int = 0, **changes: Any
    ) -> Granted | Refused:
        params = {
            "minProtocol": 4,
            "maxProtocol": 4,
            "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"},
            "scopes": [scope],
            "auth": {"token": "right"},
            **changes,
        }
        signed = Signer(seed).sign(params, "n", int(NOW.timestamp() * 1000))
        verdict = self.keeper.judge(Connect.model_validate(signed), "n", NOW, peer)
        if verdict.work is not None:
            await verdict.work()
        return verdict

    async def asks(self, scope: str = READ, seed: int = 0) -> str:
        verdict = await self.connect(scope, FAR, seed)
        assert isinstance(verdict, Refused)
        return str(verdict.error.details["requestId"])

    async def bearer(self, **changes: Any) -> str:
        verdict = await self.connect(**changes)
        assert isinstance(verdict, Granted)
        assert verdict.issued is not None
        return verdict.issued.token

    async def by_token(self, bearer: str, seed: int = 0) -> object:
        verdict = await self.connect(peer=FAR, seed=seed, auth={"deviceToken": bearer})
        return verdict.error.details["code"] if isinstance(verdict, Refused) else verdict.method

    async def audit(self) -> list[str]:
        def read(tx: Tx) -> list[str]:
            found = tx.exec_driver_sql("SELECT action FROM audit ORDER BY id")
            return [row[0] for row in found]

        return await self.db.read(read)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    db = await Database.memory()
    yield Bench(db)
    await db.close()


async def test_a_device_survives_a_restart_with_its_token(bench: Bench) -> None:
    bearer = await bench.bearer()
    again = bench.fresh()
    await again.load()
    assert again.book.everybody() == bench.devices.book.everybody()
    bench.keeper.book = again.book
    assert await bench.by_token(bearer) == "device-token"


async def test_no_token_lies_in_the_store(bench: Bench) -> None:
    bearer = await bench.bearer()
    kept = await bench.db.read(rows.everybody)
    assert bearer not in repr(kept)
    listed = await bench.devices.listing(OPERATOR)
    assert bearer not in repr(listed)
    assert "digest" not in repr(listed)


async def test_who_asks_is_told_listed_and_let_in(bench: Bench) -> None:
    request_id = await bench.asks()
    assert [name for name, _ in bench.told] == ["device.pair.requested"]
    (pending,) = (await bench.devices.listing(OPERATOR))["pending"]
    assert pending["requestId"] == request_id
    assert (pending["scopes"], pending["isRepair"], pending["remoteIp"]) == (
        [READ],
        False,
        FAR.host,
    )
    done = await bench.devices.approve(request_id, OPERATOR)
    assert done["device"]["scopes"] == [READ]
    assert bench.told[-1][1]["decision"] == "approved"
    assert isinstance(await bench.connect(READ, FAR), Granted)
    listed = await bench.devices.listing(OPERATOR)
    assert (listed["pending"], len(listed["paired"])) == ([], 1)
    assert await bench.audit() == ["device.pair.requested", "device.pair.approve"]


async def test_who_is_rejected_is_forgotten_and_may_ask_again(bench: Bench) -> None:
    request_id = await bench.asks()
    await bench.devices.reject(request_id, OPERATOR)
    assert bench.told[-1][1]["decision"] == "rejected"
    assert await bench.db.read(rows.everybody) == []
    assert await bench.asks() != request_id


async def test_a_rejected_upgrade_takes_nothing_away(bench: Bench) -> None:
    await bench.connect()
    await bench.devices.reject(await bench.asks(ADMIN), OPERATOR)
    assert isinstance(await bench.connect(READ, FAR), Granted)


async def test_nobody_gives_more_than_they_hold(bench: Bench) -> None:
    request_id = await bench.asks(ADMIN)
    small = Manager(by="rpc:phone", scopes=("operator.pairing",))
    with pytest.raises(AccessRefused, match=r"does not hold operator\.admin"):
        await bench.devices.approve(request_id, small)
    await bench.connect(ADMIN, seed=1)
    with pytest.raises(AccessRefused):
        await bench.devices.rotate(Signer(1).id, "operator", [ADMIN], small)


async def test_a_devices_own_session_sees_and_manages_itself_only(bench: Bench) -> None:
    await bench.connect(seed=1)
    await bench.connect(seed=2)
    own = Manager(by="rpc:d1", scopes=("operator.pairing", READ), only_device=Signer(1).id)
    listed = await bench.devices.listing(own)
    assert [one["deviceId"] for one in listed["paired"]] == [Signer(1).id]
    with pytest.raises(NotFound):
        await bench.devices.remove(Signer(2).id, own)
    request_id = await bench.asks(ADMIN, seed=1)
    with pytest.raises(AccessRefused):
        await bench.devices.approve(request_id, own)
    await bench.devices.revoke(Signer(1).id, "operator", own)


async def test_a_rotated_token_replaces_the_old_one(bench: Bench) -> None:
    bearer = await bench.bearer()
    answer = await bench.devices.rotate(Signer().id, "operator", None, OPERATOR)
    assert answer["scopes"] == [READ]
    assert await bench.by_token(bearer) == "AUTH_DEVICE_TOKEN_MISMATCH"
    assert await bench.by_token(answer["token"]) == "device-token"


async def test_a_revoked_token_is_worth_nothing_and_a_new_one_is_made_for_the_secret(
    bench: Bench,
) -> None:
    bearer = await bench.bearer()
    await bench.devices.revoke(Signer().id, "operator", OPERATOR)
    assert await bench.by_token(bearer) == "AUTH_DEVICE_TOKEN_MISMATCH"
    assert await bench.bearer() != bearer


async def test_a_removed_device_is_a_stranger(bench: Bench) -> None:
    bearer = await bench.bearer()
    await bench.devices.remove(Signer().id, OPERATOR)
    assert await bench.by_token(bearer) == "AUTH_DEVICE_TOKEN_MISMATCH"
    assert await bench.db.read(rows.everybody) == []


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda d: d.approve("nobody", OPERATOR), NotFound),
        (lambda d: d.reject("nobody", OPERATOR), NotFound),
        (lambda d: d.remove("nobody", OPERATOR), NotFound),
        (lambda d: d.rotate(Signer().id, "node", None, OPERATOR), InvalidInput),
        (lambda d: d.rotate(Signer().id, "operator", [ADMIN], OPERATOR), InvalidInput),
        (lambda d: d.rotate(Signer().id, "operator", ["root"], OPERATOR), InvalidInput),
        (lambda d: d.revoke(Signer().id, "node", OPERATOR), NotFound),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(
    bench: Bench, call: Any, kind: type[EngineError]
) -> None:
    await bench.connect()
    with pytest.raises(kind) as refused:
        await call(bench.devices)
    assert refused.value.fix


def test_the_key_of_the_home_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "device.key"
    made = home_key(file)
    assert home_key(file) == made
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigInvalid, match="folder"):
        home_key(tmp_path / "folder")


def test_a_gateway_has_the_identity_of_its_home() -> None:
    device_id, public_key = identity_of(b"k" * 32)
    raw = base64.urlsafe_b64decode(public_key + "=")
    assert device_id == hashlib.sha256(raw).hexdigest()
    assert (device_id, public_key) == identity_of(b"k" * 32) != identity_of(b"x" * 32)


async def test_who_asks_behind_a_proxy_is_told_by_its_own_address(bench: Bench) -> None:
    proxies = Networks.of(("10.0.0.1",))
    bench.keeper.adopt(replace(bench.keeper.policy, proxies=proxies))
    through = {"host": "gateway.example", "x-forwarded-for": "203.0.113.9"}
    await bench.connect(READ, Peer(host="10.0.0.1", headers=through))
    (pending,) = (await bench.devices.listing(OPERATOR))["pending"]
    assert pending["remoteIp"] == "203.0.113.9"


async def test_a_device_another_gateway_removed_does_not_come_back_by_being_seen(
    bench: Bench,
) -> None:
    bearer = await bench.bearer()
    (device,) = bench.devices.book.everybody()
    elsewhere = bench.fresh()
    await elsewhere.load()
    await elsewhere.remove(device.device_id, OPERATOR)
    with pytest.raises(Conflict, match="removed meanwhile"):
        await bench.by_token(bearer)
    assert await bench.by_token(bearer) == "AUTH_DEVICE_TOKEN_MISMATCH"
    await elsewhere.load()
    assert elsewhere.book.everybody() == ()
