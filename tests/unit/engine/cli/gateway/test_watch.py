"""`engine gateway watch`: events as they come (operations.md §1.6)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.cli.gateway.watch import words
from engine.events import Event
from gateway.fanout import Fanout
from tests.unit.engine.cli.conftest import Engine


def telling(monkeypatch: pytest.MonkeyPatch, *events: tuple[str, dict[str, Any]]) -> None:
    """Publish these as soon as a client is in."""
    join = Fanout.join

    def joined(fanout: Fanout, *given: Any) -> None:
        join(fanout, *given)
        for name, payload in events:
            fanout.on_bus(Event(name, payload))

    monkeypatch.setattr(Fanout, "join", joined)


ADDED = ("cron", {"action": "added", "jobId": "brief"})
SKIPPED = ("heartbeat", {"agentId": "main", "status": "skipped", "skipReason": "quiet-hours"})


@pytest.mark.usefixtures("gateway")
def test_events_are_told_one_a_line(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    telling(monkeypatch, ADDED, SKIPPED)
    told = engine("gateway", "watch", "--count", 2)
    assert told.status == 0
    assert [line.split(" ", 1)[1] for line in told.out.splitlines()] == [
        "cron: added brief",
        "heartbeat: main skipped (quiet-hours)",
    ]


@pytest.mark.usefixtures("gateway")
def test_only_what_was_asked_for_is_sent_and_a_program_reads_json(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling(monkeypatch, ADDED, SKIPPED)
    told = engine("gateway", "watch", "--events", "heartbeat", "--count", 1, "--json")
    (line,) = told.out.splitlines()
    read = json.loads(line)
    assert (read["event"], read["seq"]) == ("heartbeat", 1)  # the other was not even counted
    assert read["payload"]["skipReason"] == "quiet-hours"


@pytest.mark.usefixtures("gateway")
def test_an_event_nobody_knows_is_refused_with_the_nearest(engine: Engine) -> None:
    told = engine("gateway", "watch", "--events", "hartbeat")
    assert told.status == 2
    assert "unknown event 'hartbeat'" in told.err
    assert "--events heartbeat" in told.err
    assert engine("gateway", "watch", "--events", ",").status == 2


@pytest.mark.parametrize(
    ("name", "payload", "line"),
    [
        ("tick", {"ts": 12}, "12"),
        ("health", {"ok": False, "failing": {"store": "full"}}, "failing: store"),
        ("health", {"ok": True}, "ok"),
        ("presence", {"presence": [{"host": "box"}, {"mode": "ui"}]}, "2 around: box, ui"),
        (
            "cron",
            {"action": "finished", "jobId": "a", "status": "error", "error": "no"},
            "finished a error no",
        ),
        ("shutdown", {"reason": "stop"}, '{"reason": "stop"}'),
        ("odd", None, "null"),
    ],
)
def test_each_event_in_words(name: str, payload: Any, line: str) -> None:
    assert words(name, payload) == line
