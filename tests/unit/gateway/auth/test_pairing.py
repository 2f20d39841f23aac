"""Devices: who is let in without a word, who has to ask, and what a token is worth (§4.4)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.auth.book import Book, Change
from gateway.auth.gatekeeper import Gatekeeper
from gateway.auth.pairing import MOST_REQUESTS, REQUEST_LIFE
from gateway.auth.peer import Peer
from gateway.auth.policy import Mode, Policy
from gateway.protocol.handshake import Connect, Granted, Refused
from jobs.errors import StoreUnavailable
from tests.fakes.device_proof import Signer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NEAR = Peer(host="127.0.0.1", headers={"host": "127.0.0.1:18789"})
FAR = Peer(host="203.0.113.9", headers={"host": "gateway.example"})
PROXIED = Peer(host="127.0.0.1", headers={**NEAR.headers, "x-forwarded-for": "10.0.0.1"})
TOKEN = Policy(mode=Mode.TOKEN, token="right")
READ, WRITE, ADMIN = "operator.read", "operator.write", "operator.admin"


class Home:
    """A gatekeeper with its book, and a clock of its own."""

    def __init__(self, policy: Policy = TOKEN) -> None:
        self.kept: list[Change] = []
        self.book = Book(b"k" * 32, self._keep)
        self.keeper = Gatekeeper(policy, self.book)
        self.now = NOW
        self.full_disk = False

    async def _keep(self, change: Change) -> None:
        if self.full_disk:
            raise StoreUnavailable("the disk is full")
        self.kept.append(change)

    async def connect(
        self,
        *scopes: str,
        device: Signer | None = None,
        peer: Peer = NEAR,
        auth: dict[str, str] | None = None,
        version: int = 3,
        **changes: Any,
    ) -> Granted | Refused:
        params: dict[str, Any] = {
            "minProtocol": 3,
            "maxProtocol": 4,
            "client": {"id": "cli", "mode": "cli", "version": "1", "platform": "Linux"},
            "scopes": list(scopes),
            "auth": {"token": "right"} if auth is None else auth,
            **changes,
        }
        signer = device or Signer()
        signed = signer.sign(params, "nonce", int(self.now.timestamp() * 1000), version)
        connect = Connect.model_validate(signed)
        verdict = self.keeper.judge(connect, "nonce", self.now, peer)
        work: Callable[[], Awaitable[None]] | None = verdict.work
        if work is not None:
            await work()
        return verdict

    async def granted(self, *scopes: str, **how: Any) -> Granted:
        verdict = await self.connect(*scopes, **how)
        assert isinstance(verdict, Granted), verdict
        return verdict

    async def refused(self, *scopes: str, **how: Any) -> dict[str, Any]:
        verdict = await self.connect(*scopes, **how)
        assert isinstance(verdict, Refused), verdict
        return {**verdict.error.details, "message": verdict.error.message, "close": verdict.reason}


def told(verdict: Granted) -> str:
    assert verdict.issued is not None
    return verdict.issued.token


@pytest.mark.parametrize("version", [2, 3])
async def test_a_new_device_on_this_machine_is_let_in_with_a_token(version: int) -> None:
    home = Home()
    verdict = await home.granted(READ, ADMIN, version=version)
    assert verdict.scopes == (READ, ADMIN)
    assert re.fullmatch(r"[\w-]{43}", told(verdict))
    (change,) = home.kept
    assert (change.before, change.action) == (None, "device.pair.silent")
    assert told(verdict) not in repr(change)
    assert told(verdict) not in repr(verdict)


async def test_the_same_device_gets_the_same_token_again() -> None:
    home = Home()
    first = await home.granted(READ)
    assert told(await home.granted(READ)) == told(first)
    book = Book(b"k" * 32)
    book.fill(home.book.everybody())  # as after a restart
    home.keeper.book = book
    assert told(await home.granted(READ)) == told(first)


async def test_after_the_key_of_the_home_was_lost_a_new_token_is_made() -> None:
    home = Home()
    first = await home.granted(READ)
    book = Book(b"another key of 32 bytes .........")
    book.fill(home.book.everybody())
    home.keeper.book = book
    assert told(await home.granted(READ)) != told(first)


@pytest.mark.parametrize("method", ["token", "password", "none"])
async def test_a_device_on_this_machine_grows_its_scopes_without_a_word(method: str) -> None:
    policy = Policy(mode=Mode(method), token="right", password="right")
    home = Home(policy)
    auth = {} if method == "none" else {method: "right"}
    first = await home.granted(READ, auth=auth)
    grown = await home.granted(ADMIN, auth=auth)
    assert grown.scopes == (ADMIN,)
    assert told(grown) != told(first)
    assert told(await home.granted(READ, auth=auth)) == told(grown)


WISHES: dict[str, tuple[Peer, dict[str, Any], str, str]] = {
    "far, unknown": (FAR, {"device": Signer(9)}, "not-paired", "is not approved yet"),
    "behind a proxy, unknown": (
        PROXIED,
        {"device": Signer(9)},
        "not-paired",
        "is not approved yet",
    ),
    "far, more scopes": (FAR, {"wants": ADMIN}, "scope-upgrade", "more scopes"),
    "another role": (NEAR, {"role": "node"}, "role-upgrade", "a higher role"),
    "another platform": (
        NEAR,
        {"client": {"id": "cli", "mode": "cli", "version": "1", "platform": "win32"}},
        "metadata-upgrade",
        "identity changed",
    ),
}


@pytest.mark.parametrize(("peer", "how", "reason", "words"), WISHES.values(), ids=WISHES)
async def test_what_nobody_approved_is_asked_for(
    peer: Peer, how: dict[str, Any], reason: str, words: str
) -> None:
    home = Home()
    await home.granted(READ)
    how = dict(how)
    scope = how.pop("wants", READ)
    details = await home.refused(scope, peer=peer, **how)
    assert (details["code"], details["reason"]) == ("PAIRING_REQUIRED", reason)
    assert details["message"].startswith("pairing required: device ")
    assert words in details["message"]
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", details["requestId"])
    assert details["close"] == f"{details['message']} (requestId: {details['requestId']})"
    again = await home.refused(scope, peer=peer, **how)
    assert again["requestId"] == details["requestId"]


async def test_a_device_token_never_buys_more_scopes() -> None:
    home = Home()
    first = await home.granted(READ)
    details = await home.refused(ADMIN, auth={"deviceToken": told(first)})
    assert details["code"] == "AUTH_SCOPE_MISMATCH"
    assert details["recommendedNextStep"] == "review_auth_configuration"


async def test_silence_can_be_switched_off() -> None:
    home = Home(replace(TOKEN, auto_approve_local=False))
    assert (await home.refused(READ))["reason"] == "not-paired"


@pytest.mark.parametrize("field", ["deviceToken", "token"])
async def test_a_device_token_stands_in_for_the_shared_secret_from_anywhere(field: str) -> None:
    home = Home()
    first = await home.granted(READ)
    verdict = await home.granted(READ, peer=FAR, auth={field: told(first)})
    assert (verdict.method, verdict.scopes) == ("device-token", (READ,))


async def test_a_device_token_is_worth_nothing_with_another_key() -> None:
    home = Home()
    first = await home.granted(READ)
    await home.granted(READ, device=Signer(1))
    details = await home.refused(READ, device=Signer(1), auth={"deviceToken": told(first)})
    assert details["code"] == "AUTH_DEVICE_TOKEN_MISMATCH"
    assert "device token mismatch" in details["message"]


async def test_a_wrong_shared_token_with_a_proof_says_that_a_device_token_may_do() -> None:
    details = await Home().refused(READ, auth={"token": "wrong"})
    assert details["code"] == "AUTH_TOKEN_MISMATCH"
    assert details["canRetryWithDeviceToken"] is True
    assert details["recommendedNextStep"] == "retry_with_device_token"


async def test_nothing_is_promised_that_is_not_on_the_disk() -> None:
    home = Home()
    home.full_disk = True
    with pytest.raises(StoreUnavailable):
        await home.connect(READ)
    assert home.book.everybody() == ()
    home.full_disk = False
    assert isinstance(await home.connect(READ), Granted)
    assert len(home.kept) == 1


async def test_a_device_that_comes_every_second_is_not_written_every_second() -> None:
    home = Home()
    for _ in range(5):
        await home.granted(READ)
        home.now += timedelta(seconds=1)
    assert len(home.kept) == 1
    home.now += timedelta(minutes=11)
    await home.granted(READ)
    assert [change.action for change in home.kept][1:] == ["device.seen"]


async def test_a_request_nobody_answers_lapses() -> None:
    home = Home()
    details = await home.refused(READ, peer=FAR)
    assert home.book.asking(details["requestId"], home.now) is not None
    home.now += REQUEST_LIFE
    assert home.book.asking(details["requestId"], home.now) is None
    assert (await home.refused(READ, peer=FAR))["requestId"] != details["requestId"]


async def test_a_crowd_of_strangers_does_not_fill_the_book() -> None:
    home = Home()
    for seed in range(MOST_REQUESTS + 5):
        await home.refused(READ, peer=FAR, device=Signer(seed))
        home.now += timedelta(seconds=1)
    assert len(home.book.everybody()) == MOST_REQUESTS


async def test_scopes_nobody_knows_are_not_granted() -> None:
    assert (await Home().granted(READ, "operator.everything", "root")).scopes == (READ,)


async def test_nobody_hands_out_more_than_they_could_have_asked_for() -> None:
    home = Home()
    near = await home.granted("operator.pairing")  # the least a call needs; it may have all
    assert ADMIN in near.ceiling
    shown = {"deviceToken": told(near)}
    assert (await home.granted("operator.pairing", auth=shown)).ceiling == ("operator.pairing",)
    assert (await home.granted("operator.pairing", peer=FAR)).ceiling == ("operator.pairing",)
    capped = Peer(host=NEAR.host, headers={**NEAR.headers, "x-openclaw-scopes": "operator.pairing"})
    assert (await home.granted("operator.pairing", peer=capped)).ceiling == ("operator.pairing",)
