"""Codes by which a stranger asks to be let in, and who answers them (channels.md §3.2).

A code is told to the stranger, who tells it to whoever runs the gateway; only that person can
approve it. Asking is part of the transaction in which the message is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from engine.clock import Clock
from engine.messages.address import REPLY, ChatType, Route
from engine.messages.delivery import Delivery, Priority
from engine.messages.outbox import expiry
from engine.messages.target import PREFIXES
from engine.store import audit, outbox
from gateway.channels.base import Inbound
from gateway.store import pairings
from gateway.store.pairings import Pairing
from jobs.errors import InvalidInput, NotFound
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # nothing that is read for something else
LENGTH: Final = 8
_LET_IN: Final = "You are let in. Write what you need."


def new_code(taken: Callable[[str], bool]) -> str:
    """Return a code nobody else waits under."""
    while True:
        code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        if not taken(code):
            return code


def asked(tx: Tx, message: Inbound, now: datetime) -> bool:
    """Note that a stranger wants in, and answer them once; True if there is an answer to send."""
    code = new_code(lambda one: pairings.taken(tx, one))
    here = (message.channel, message.account_id, message.sender_id)
    if not pairings.ask(tx, *here, label=message.sender_label, code=code, now=now):
        return False
    outbox.add(tx, _told(message, code, now))
    return True


def _told(message: Inbound, code: str, now: datetime) -> Delivery:
    """What the stranger reads; it is no use longer than the code."""
    text = (
        "I only talk to people I know. To be let in, tell whoever runs me this code:"
        f"\n\n{code}\n\nThey type: engine pairing approve {message.channel} {code}"
        "\n\nIt works for an hour."
    )
    route = Route(
        channel=message.channel,
        account_id=message.account_id,
        to=message.peer.to,
        thread_id=message.peer.thread_id,
        chat_type=ChatType.DIRECT,
        via=REPLY,
    )
    return _message(f"pairing:{code}:{ms(now)}", route, text, now)


def _message(key: str, route: Route, text: str, now: datetime) -> Delivery:
    return Delivery(
        key=key,
        route=route,
        text=text,
        kind="reply",
        created_at=now,
        expires_at=expiry("reply", now),
        priority=Priority.REPLY,
    )


def owner_entry(pairing: Pairing) -> str:
    """Return a person as `commands.ownerAllowFrom` names one."""
    return f"{pairing.channel}:{_chat_of(pairing)}"


def _chat_of(pairing: Pairing) -> str:
    """Return the direct chat with somebody: on Telegram it has their id, on QQ a kind before it."""
    return f"c2c:{pairing.peer}" if pairing.channel == "qqbot" else pairing.peer


MakeOwner = Callable[[str], Awaitable[bool]]  # True: they are the owner now


async def _nobody(entry: str) -> bool:  # noqa: ARG001 - nobody writes it down
    return False


def listing(tx: Tx, params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """`pairing.list`: who waits, and who was let in; of one channel or account, if named."""
    channel = _channel(params["channel"]) if params.get("channel") else None
    account_id = params.get("accountId")

    def chosen(one: Pairing) -> bool:
        return channel in (None, one.channel) and account_id in (None, one.account_id)

    return {
        "requests": [_words(one) for one in pairings.pending(tx, now) if chosen(one)],
        "approved": [_words(one) for one in pairings.approved(tx) if chosen(one)],
    }


class Pairings:
    """Requests and people, as clients ask for them."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        poke: Callable[[], None],
        make_owner: MakeOwner = _nobody,
    ) -> None:
        self._make_owner = make_owner
        self._database = database
        self._clock = clock
        self._poke = poke

    async def listing(self, channel: str | None, account_id: str | None) -> dict[str, Any]:
        """`pairing.list`: who waits, and who was let in."""
        now = self._clock.now()
        given = {"channel": channel, "accountId": account_id}
        return await self._database.read(lambda tx: listing(tx, given, now))

    async def approve(self, channel: str, code: str, by: str) -> dict[str, Any]:
        """`pairing.approve`: let somebody in and tell them; twice is once."""
        now = self._clock.now()

        def work(tx: Tx) -> tuple[Pairing, bool, bool]:
            found = _found(tx, channel, code, now)
            first_ever = not pairings.approved(tx)
            done = pairings.approve(tx, found, now)
            if done:
                route = Route(
                    channel=found.channel,
                    account_id=found.account_id,
                    to=_chat_of(found),
                    chat_type=ChatType.DIRECT,
                )
                outbox.add(tx, _message(f"paired:{found.code}:{ms(now)}", route, _LET_IN, now))
                _note(tx, found, "pairing.approve", by, now)
            return found, done, first_ever and done

        found, done, first_ever = await self._database.write(work)
        self._poke()
        owner = owner_entry(found)
        return {
            "ok": True,
            "madeOwner": first_ever and await self._make_owner(owner),
            "alreadyApproved": not done,
            "firstEver": first_ever,
            "owner": owner,
            **_words(replace(found, approved_at=found.approved_at or now)),
        }

    async def reject(self, channel: str, code: str, by: str) -> dict[str, Any]:
        """`pairing.reject`: forget a request, or somebody who was let in by that code."""
        now = self._clock.now()

        def work(tx: Tx) -> Pairing:
            found = _found(tx, channel, code, now)
            pairings.remove(tx, found)
            _note(tx, found, "pairing.reject", by, now)
            return found

        return {"ok": True, **_words(await self._database.write(work))}


def _found(tx: Tx, channel: str, code: str, now: datetime) -> Pairing:
    wanted = code.strip().upper()
    found = pairings.find(tx, _channel(channel), wanted, now)
    if found is None:
        raise NotFound(
            f"nobody waits on {channel} under the code {wanted}",
            why="codes work for an hour, and only on the channel they were asked for on",
            fix="engine pairing list",
        )
    return found


def _channel(word: str) -> str:
    channel = PREFIXES.get(word.strip().lower())
    if channel is None:
        raise InvalidInput(
            f'unknown channel "{word}"',
            why="people are paired on chat channels",
            fix="use telegram or qqbot",
        )
    return channel


def _note(tx: Tx, found: Pairing, action: str, by: str, now: datetime) -> None:
    audit.note(
        tx,
        now=now,
        actor=by,
        action=action,
        subject=f"{found.channel}|{found.account_id}|{found.peer}",
    )


def _words(one: Pairing) -> Mapping[str, Any]:
    return {
        "channel": one.channel,
        "accountId": one.account_id,
        "peer": one.peer,
        "label": one.label,
        "code": one.code,
        "createdAtMs": ms(one.created_at),
        "lastSeenAtMs": ms(one.last_seen_at),
        "expiresAtMs": None if one.approved_at else ms(one.expires_at),
        "approvedAtMs": ms(one.approved_at),
    }
