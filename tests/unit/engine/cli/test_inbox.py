"""`engine inbox list` and its sisters, and `engine outbox`, as a person types them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from engine.cli.doctor.way import swallowed
from engine.testing import ScriptedAgent, Simulation
from jobs.store.db import Database
from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine

KEPT = {
    "id": "run:r1",
    "number": 7,
    "state": "unread",
    "reason": "no-route",
    "because": "nobody wrote",
    "text": "The build is red.",
    "agentId": "main",
    "runId": "r1",
    "atMs": 1_790_000_000_000,
    "firstAtMs": 1_790_000_000_000,
    "times": 3,
}


def test_what_reached_nobody_is_a_line_each_with_its_reason_and_count(
    engine: Engine, gateway: Port
) -> None:
    assert engine("inbox", "list").out == "Nothing that was said failed to arrive.\n"
    gateway.core.kept.entries = [KEPT]
    for words in (("inbox", "list"), ("heartbeat", "inbox")):
        told = engine(*words).out
        assert "no-route ×3" in told
        assert "The build is red." in told
    asked = engine("inbox", "list", "--agent", "main", "--reason", "no-route", "--json")
    assert json.loads(asked.out)["entries"] == [KEPT]
    wanted = {"limit": 50, "agentId": "main", "reason": "no-route", "state": "all"}
    assert gateway.core.said.of("kept")[-1] == wanted


@pytest.mark.parametrize(
    ("words", "what", "told"),
    [
        (("resend", "7", "--to", "telegram:42"), "kept.resend", {"id": "7", "to": "telegram:42"}),
        (("mute", "7"), "kept.mute", {"id": "7", "on": True}),
        (("unmute", "7"), "kept.mute", {"id": "7", "on": False}),
        (("purge", "--state", "all", "--reason", "dropped"), "kept.purge",
         {"state": "all", "reason": "dropped"}),
    ],
)  # fmt: skip
def test_what_is_done_to_it_reaches_the_gateway(
    engine: Engine, gateway: Port, words: tuple[str, ...], what: str, told: dict[str, object]
) -> None:
    assert engine("inbox", *words).status == 0
    assert gateway.core.said.of(what) == [told]


@pytest.mark.parametrize("words", [("inbox", "snooze"), ("heartbeat", "snooze")])
@pytest.mark.parametrize("span", [("2h",), ("--for", "2h")], ids=["bare", "flag"])
def test_it_is_put_off_for_a_span(
    engine: Engine, gateway: Port, words: tuple[str, ...], span: tuple[str, ...]
) -> None:
    assert engine(*words, "7", *span).status == 0
    assert gateway.core.said.of("kept.snooze")[0]["id"] == "7"


@pytest.mark.parametrize(
    "words",
    [
        ("inbox", "ack"),
        ("inbox", "ack", "7", "--all"),
        ("inbox", "snooze", "7"),
        ("inbox", "snooze", "7", "--for", "soon"),
        ("inbox", "list", "--since", "whenever"),
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense_are_refused_before_anything_happens(
    engine: Engine, gateway: Port, words: tuple[str, ...]
) -> None:
    told = engine(*words)
    assert told.status == 2
    assert "Fix: " in told.err


async def _lived(state: Path) -> None:
    database = await Database.open(state / "state.db")
    async with Simulation(
        state / "engine.json",
        start="2026-06-01 00:00",
        zone="UTC",
        database=database,
        checklist="- look\n",
        agent=ScriptedAgent(then="The build is red."),
    ) as sim:
        await sim.until("2026-06-01 02:00")
    await database.close()


@pytest.mark.usefixtures("nobody")
def test_both_are_read_from_the_store_while_the_gateway_is_down(engine: Engine, home: Path) -> None:
    config = "{ agents: { defaults: { heartbeat: { every: '30m', target: 'last' } } } }"
    (home / ".engine" / "engine.json").write_text(config)
    asyncio.run(_lived(home / ".engine"))
    told = engine("inbox", "list", "--reason", "duplicate")
    assert "duplicate ×3" in told.out
    assert "answered from the store" in told.err
    entries = json.loads(engine("inbox", "list", "--state", "all", "--json").out)["entries"]
    assert "4th time" in engine("inbox", "show", entries[0]["number"]).out
    sent = engine("outbox", "list", "--state", "delivered")
    assert "local:inbox" in sent.out
    key = json.loads(engine("outbox", "list", "--json").out)["entries"][0]["key"]
    assert "The build is red." in engine("outbox", "show", key).out
    assert engine("outbox", "show", "nobody").status == 6
    assert engine("inbox", "show", "99").status == 6


def test_an_alert_is_called_useful_or_noise_and_nothing_else(engine: Engine, gateway: Port) -> None:
    told = engine("heartbeat", "feedback", "r1", "noise")
    assert told.out == "Noted: noise (0 times useful, 1 times noise).\n"
    assert gateway.core.said.of("kept.feedback") == [{"id": "r1", "word": "noise"}]
    assert engine("heartbeat", "feedback", "r1", "boring").status == 2


@pytest.mark.usefixtures("nobody")
def test_the_status_counts_what_is_unread_with_the_gateway_down(engine: Engine, home: Path) -> None:
    config = "{ agents: { defaults: { heartbeat: { every: '30m' } } } }"  # no target: to nobody
    (home / ".engine" / "engine.json").write_text(config)
    assert "Inbox:     unknown (gateway down)" in engine("status").out
    asyncio.run(_lived(home / ".engine"))
    assert "1 unread that reached nobody: engine inbox list" in engine("status").out


def test_an_agent_whose_short_alerts_go_down_with_its_token_is_told_by_the_doctor() -> None:
    said = {"agentId": "main", "text": "disk at 91 %, look at it", "times": 2}
    short = {"agentId": "main", "text": "all good", "times": 9}
    ops = {**said, "agentId": "ops"}
    assert swallowed([said, short, ops]) == []
    (one,) = swallowed([said, said, short, ops])
    assert (one.id, one.agents) == ("heartbeat.ack_swallows_text", ("main",))
    assert "4 times in a day" in one.what
    assert swallowed([said, said], only="ops") == []
