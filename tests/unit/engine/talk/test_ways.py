"""Learnt routes as people see them: channels.md §4, the rows about what can be used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.config.paths import resolve
from engine.config.schema import Config
from engine.messages.address import ChatType, Route
from engine.messages.target import LastRoute
from engine.roster.profiles import roster_of
from engine.roster.roster import Roster
from engine.store import sessions
from engine.talk import ways
from jobs.errors import NotFound
from jobs.store.db import Database

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DM = LastRoute(
    agent_id="main",
    session_key="agent:main:main",
    channel="telegram",
    account_id="default",
    to="42",
    chat_type=ChatType.DIRECT,
    peer_label="Ann",
    set_at=NOON,
    set_by="7",
)


def roster(tmp_path: Path, **telegram: Any) -> Roster:
    channels = {"telegram": {"botToken": "1:a", **telegram}}
    config = Config.model_validate({"channels": channels})
    return roster_of(config, resolve({"ENGINE_STATE_DIR": str(tmp_path)}), "UTC")


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    db = await Database.memory()
    yield db
    await db.close()


async def listed(
    database: Database, agents: Roster, known: Sequence[LastRoute], **asked: Any
) -> dict[str, Any]:
    for one in known:
        await database.write(partial(sessions.set_route, route=one))
    return await database.read(lambda tx: ways.listing(tx, agents, asked, NOON + HOUR))


async def test_a_route_says_where_it_leads_and_how_it_was_learnt(
    database: Database, tmp_path: Path
) -> None:
    told = await listed(database, roster(tmp_path), [DM])
    (one,) = told["routes"]
    assert (one["to"], one["peerLabel"], one["setBy"], one["chatType"]) == (
        "42",
        "Ann",
        "7",
        "direct",
    )
    assert (one["usable"], one["last"]) == (True, True)
    assert told["last"]["main"]["to"] == "42"


@pytest.mark.parametrize(
    ("change", "keys", "reason"),
    [
        ({"account_id": "gone"}, {}, "unknown-account"),
        ({}, {"accounts": {"default": {"botToken": "1:a", "enabled": False}}}, "account-disabled"),
        ({"channel": "qqbot", "to": "c2c:X"}, {}, "unknown-account"),
    ],
)
async def test_a_route_whose_account_is_gone_stays_and_says_so(
    database: Database, tmp_path: Path, change: dict[str, str], keys: dict[str, Any], reason: str
) -> None:
    changed = replace(DM, **change)  # type: ignore[arg-type]  # fields of the route
    told = await listed(database, roster(tmp_path, **keys), [changed])
    (one,) = told["routes"]
    assert (one["usable"], one["reason"]) == (False, reason)
    assert one["because"]
    assert one["fix"]


async def test_a_place_that_refuses_says_since_when_and_what_ends_it(
    database: Database, tmp_path: Path
) -> None:
    await database.write(lambda tx: sessions.set_route(tx, DM))
    spoilt = Route(channel="telegram", account_id="default", to="42")
    await database.write(lambda tx: sessions.mark_unusable(tx, spoilt, "blocked", NOON + HOUR))
    told = await listed(database, roster(tmp_path), [])
    (one,) = told["routes"]
    assert (one["usable"], one["reason"]) == (False, "blocked")
    assert one["sinceMs"] == (NOON + HOUR).timestamp() * 1000
    assert told["last"]["main"]["reason"] == "no-route"
    again = await listed(database, roster(tmp_path), [replace(DM, set_at=NOON + 2 * HOUR)])
    assert again["routes"][0]["usable"]


async def test_last_falls_back_to_the_newest_direct_chat_and_never_to_a_group(
    database: Database, tmp_path: Path
) -> None:
    peers = [
        replace(DM, session_key=f"agent:main:direct:{n}", to=str(n), set_at=NOON + n * HOUR)
        for n in (1, 2)
    ]
    group = replace(
        DM,
        session_key="agent:main:telegram:group:-1",
        to="-1",
        chat_type=ChatType.GROUP,
        set_at=NOON + 3 * HOUR,
    )
    told = await listed(database, roster(tmp_path), [*peers, group])
    assert [one["to"] for one in told["routes"]] == ["-1", "2", "1"]
    assert [one["to"] for one in told["routes"] if one["last"]] == ["2"]


async def test_only_what_is_asked_for_is_listed(database: Database, tmp_path: Path) -> None:
    local = replace(DM, channel="local", to="inbox")
    told = await listed(database, roster(tmp_path), [DM, local], channel="local")
    assert [(one["channel"], one["usable"], one["last"]) for one in told["routes"]] == [
        ("local", True, False)
    ]


async def test_the_routes_of_an_agent_nobody_knows_are_refused_and_not_none(
    database: Database, tmp_path: Path
) -> None:
    gone = replace(DM, agent_id="gone", session_key="agent:gone:main")
    told = await listed(database, roster(tmp_path), [gone], agentId="gone")
    assert len(told["routes"]) == 1  # it was configured once
    with pytest.raises(NotFound, match="agent 'nobody' is not configured"):
        await listed(database, roster(tmp_path), [], agentId="nobody")
