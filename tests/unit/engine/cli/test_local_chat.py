"""The channel that needs no account: what was said, what came, what was seen (channels.md §13)."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from engine.messages.address import ChatType, Route
from engine.messages.delivery import Delivery
from engine.store import inbox, outbox
from engine.talk.outbox_desk import shown
from jobs.store.db import Database
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HERE = Route(channel="local", account_id="default", to="inbox", chat_type=ChatType.DIRECT)
PING = Delivery(
    key="k1",
    route=HERE,
    text="one\ntwo",
    kind="heartbeat",
    created_at=NOON,
    expires_at=NOON + timedelta(hours=1),
)


def test_what_was_said_is_printed_a_line_each(engine: Engine, gateway: Port) -> None:
    said = engine("chat", "--history", "5")
    assert said.status == 0
    assert "you> " in said.out or said.out == "Nothing was said yet.\n"
    assert "messages" in json.loads(engine("chat", "--history", "5", "--json").out)


async def _lived(state: Path) -> None:
    database = await Database.open(state / "state.db")
    add = partial(inbox.add, agent_id="main", inbox="inbox", kind="heartbeat", now=NOON)
    for number in range(2):
        await database.write(partial(add, key=f"k{number}#0", text=f"ping {number}"))
    await database.write(lambda tx: inbox.ack(tx, ["k0#0"], NOON))
    await database.close()


@pytest.mark.usefixtures("nobody")
def test_the_inbox_is_read_with_the_gateway_down_and_counts_what_nobody_has_seen(
    engine: Engine, home: Path
) -> None:
    (home / ".engine" / "engine.json").write_text("{}")
    asyncio.run(_lived(home / ".engine"))
    said = engine("inbox")
    assert said.status == 0
    assert [line.rpartition(": ")[2] for line in said.out.splitlines()[:2]] == ["ping 0", "ping 1"]
    assert "(1 unseen;" in said.out
    assert "answered from the store" in said.err
    assert "ping 0" not in engine("inbox", "--unseen").out
    assert json.loads(engine("inbox", "--json").out)["unseen"] == 1
    assert engine("inbox", "--ack").status == 3  # what changes something needs the gateway


async def test_a_message_is_seen_when_each_of_its_parts_was_acknowledged() -> None:
    database = await Database.memory()
    await database.write(lambda tx: outbox.add(tx, PING))
    for part in range(2):
        add = partial(inbox.add, agent_id="main", inbox="inbox", kind="heartbeat", now=NOON)
        await database.write(partial(add, key=f"k1#{part}", text="x"))
    await database.write(
        partial(
            inbox.add,
            key="k10#0",
            agent_id="main",
            inbox="inbox",
            kind="heartbeat",
            text="y",
            now=NOON,
        )
    )
    seen = []
    for part in range(2):
        await database.write(partial(inbox.ack, ids=[f"k1#{part}"], now=NOON))
        told = await database.read(partial(shown, key="k1"))
        seen.append(told.get("seenAtMs"))
    assert seen == [None, NOON.timestamp() * 1000]
    await database.close()
