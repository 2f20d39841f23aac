"""Events: who sees them, in which order, and what a slow reader loses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from engine.events import Bus, Event
from gateway.fanout import Fanout
from gateway.protocol.frames import MAX_BUFFERED
from gateway.protocol.handshake import Client, Session
from gateway.protocol.methods import EVENTS


class Tape:
    """A line that keeps what was written."""

    def __init__(self, waiting: int = 0) -> None:
        self.frames: list[dict[str, Any]] = []
        self.waiting = waiting
        self.writes = 0
        self.closed: tuple[int, str] | None = None

    def write(self, text: str) -> None:
        self.frames.append(json.loads(text))

    def write_all(self, texts: Sequence[bytes]) -> None:
        self.frames += [json.loads(text) for text in texts]
        self.writes += 1

    def buffered(self) -> int:
        return self.waiting

    def end(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    @property
    def seen(self) -> list[tuple[str, int]]:
        return [(frame["event"], frame["seq"]) for frame in self.frames]


def session(
    name: str,
    *scopes: str,
    protocol: int = 4,
    caps: tuple[str, ...] = (),
    role: str = "operator",
) -> Session:
    client = Client.model_validate(
        {"id": "cli", "mode": "cli", "version": "1", "platform": "linux"}
    )
    return Session(
        conn_id=name,
        protocol=protocol,
        client=client,
        role=role,
        scopes=scopes,
        caps=frozenset(caps),
        auth_method="token",
    )


@pytest.fixture
def fanout() -> Fanout:
    return Fanout(lambda: {"presence": 1, "health": 2})


def joined(fanout: Fanout, *scopes: str, waiting: int = 0, **facts: Any) -> Tape:
    tape = Tape(waiting)
    fanout.join(session(f"c{len(fanout)}", *scopes, **facts), tape)
    return tape


def test_numbers_are_per_connection_and_gap_free_after_the_scope_filter(fanout: Fanout) -> None:
    reader, stranger = joined(fanout, "operator.read"), joined(fanout)
    for name in ("cron", "tick", "chat", "heartbeat"):
        fanout.publish(name, {})
    assert reader.seen == [("cron", 1), ("tick", 2), ("chat", 3), ("heartbeat", 4)]
    assert stranger.seen == [("tick", 1), ("heartbeat", 2)]


def test_presence_is_for_everyone_on_wire_3_and_for_readers_on_wire_4(fanout: Fanout) -> None:
    old, new = joined(fanout, protocol=3), joined(fanout)
    fanout.publish("presence", {"presence": []})
    assert old.frames[0]["stateVersion"] == {"presence": 1, "health": 2}
    assert not new.frames


def test_newer_clients_hear_of_tasks_and_of_the_config_and_whose_a_chat_is(
    fanout: Fanout,
) -> None:
    old, new = joined(fanout, "operator.read", protocol=3), joined(fanout, "operator.read")
    fanout.on_bus(Event("config", {"paths": ["cron.tz"]}))
    fanout.on_bus(Event("cron", {"action": "added", "jobId": "j"}))
    fanout.on_bus(Event("cron", {"action": "finished", "jobId": "j", "runId": "r", "status": "ok"}))
    fanout.on_bus(Event("gateway.suspension", {"phase": "draining"}))
    fanout.on_bus(Event("chat", {"state": "final", "runId": "c", "sessionKey": "agent:ops:main"}))
    assert old.seen == [("cron", 1), ("cron", 2), ("chat", 3)]  # without a gap
    assert [name for name, _ in new.seen] == [
        "config.changed", "cron", "cron", "task", "gateway.suspension", "chat",
    ]  # fmt: skip
    assert new.frames[0]["payload"] == {"paths": ["cron.tz"]}
    told = new.frames[3]["payload"]
    assert (told["action"], told["task"]["taskId"], told["task"]["status"]) == (
        "finished", "r", "succeeded",
    )  # fmt: skip
    assert new.frames[-1]["payload"]["agentId"] == "ops"
    assert "agentId" not in old.frames[-1]["payload"]


def test_an_unknown_event_reaches_admins_only(fanout: Fanout) -> None:
    reader, admin = joined(fanout, "operator.read"), joined(fanout, "operator.admin")
    fanout.publish("secret-thing", {})
    assert not reader.frames
    assert admin.seen == [("secret-thing", 1)]


def test_tool_streams_go_to_who_asked_for_them(fanout: Fanout) -> None:
    plain = joined(fanout, "operator.read")
    keen = joined(fanout, "operator.read", caps=("tool-events",))
    fanout.publish("agent", {"stream": "tool"})
    assert not plain.frames
    assert len(keen.frames) == 1


def test_a_slow_reader_sees_a_gap_for_what_may_be_dropped(fanout: Fanout) -> None:
    slow = joined(fanout, "operator.read", waiting=MAX_BUFFERED)
    fanout.publish("cron", {})
    slow.waiting = 0
    fanout.publish("cron", {})
    assert slow.seen == [("cron", 2)]


def test_a_slow_reader_is_cut_for_what_may_not_be_dropped(fanout: Fanout) -> None:
    slow, other = joined(fanout, waiting=MAX_BUFFERED), joined(fanout)
    fanout.publish("health", {})
    assert slow.closed == (1008, "slow consumer")
    assert other.seen == [("health", 1)]
    assert len(fanout) == 1


def chat(text: str, state: str = "delta") -> dict[str, Any]:
    return {"runId": "r", "state": state, "message": {"content": [{"type": "text", "text": text}]}}


def test_wire_4_gets_the_suffix_of_a_growing_answer(fanout: Fanout) -> None:
    old = joined(fanout, "operator.read", protocol=3)
    new = joined(fanout, "operator.read")
    for payload in (chat("Hel"), chat("Hello"), chat("Bye"), chat("Bye", "final")):
        fanout.publish("chat", payload)
    assert [frame["payload"].get("deltaText") for frame in old.frames] == [None] * 4
    assert [frame["payload"].get("deltaText") for frame in new.frames] == [
        "Hel",
        "lo",
        "Bye",
        None,
    ]
    assert new.frames[2]["payload"]["replace"] is True


def test_the_bus_reaches_clients_but_not_with_inner_matters(fanout: Fanout) -> None:
    bus, reader = Bus(), joined(fanout, "operator.admin")
    bus.listen(fanout.on_bus)
    bus.publish("outbox", {"key": "k", "state": "queued"})
    bus.publish("heartbeat", {"status": "sent"})
    assert reader.seen == [("heartbeat", 1)]


SCOPES = (
    "operator.read",
    "operator.write",
    "operator.admin",
    "operator.approvals",
    "operator.pairing",
)
# §7.1: which of the scopes above let an event through; every event there is has a row.
EVERYBODY, READERS = set(SCOPES), set(SCOPES[:3])
PAIRERS = {"operator.pairing", "operator.admin"}
APPROVERS = {"operator.approvals", "operator.admin"}
WHO: dict[str, set[str]] = {
    "tick": EVERYBODY,
    "health": EVERYBODY,
    "heartbeat": EVERYBODY,
    "shutdown": EVERYBODY,
    "agent": READERS,
    "chat": READERS,
    "cron": READERS,
    "presence": READERS,
    "device.pair.requested": PAIRERS,
    "device.pair.resolved": PAIRERS,
    "exec.approval.requested": APPROVERS,
    "exec.approval.resolved": APPROVERS,
    "nobody.knows": {"operator.admin"},
}


@pytest.mark.parametrize("name", WHO)
def test_each_event_reaches_who_may_see_it(fanout: Fanout, name: str) -> None:
    tapes = {scope: joined(fanout, scope) for scope in SCOPES}
    fanout.publish(name, {})
    assert {scope for scope, tape in tapes.items() if tape.frames} == WHO[name]


@pytest.mark.parametrize(("name", "scope"), EVENTS.items())
def test_an_event_reaches_whoever_holds_its_scope(
    fanout: Fanout, name: str, scope: str | None
) -> None:
    tape = joined(fanout, *([scope] if scope else []))
    fanout.publish(name, {})
    assert len(tape.frames) == 1


def test_a_client_that_names_kinds_gets_those_and_what_concerns_the_connection(
    fanout: Fanout,
) -> None:
    tape = joined(fanout, "operator.read", caps=("engine.events:cron, heartbeat",))
    for name in ("cron", "chat", "tick", "heartbeat", "presence", "shutdown"):
        fanout.publish(name, {})
    assert tape.seen == [("cron", 1), ("tick", 2), ("heartbeat", 3), ("shutdown", 4)]


def test_who_is_sent_away_is_chosen_by_what_they_are(fanout: Fanout) -> None:
    first, second = joined(fanout, "operator.read"), joined(fanout, "operator.admin")
    fanout.end(lambda one: "operator.admin" in one.scopes, 4001, "gateway auth changed")
    assert (first.closed, second.closed) == (None, (4001, "gateway auth changed"))


def test_a_node_sees_no_tools_at_work_whatever_it_asks_for(fanout: Fanout) -> None:
    node = joined(fanout, "operator.read", caps=("tool-events",), role="node")
    fanout.publish("agent", {"stream": "tool", "runId": "r"})
    assert node.seen == []


# -- together ------------------------------------------------------------------------------


class Moments:
    """Later, when the test says so."""

    def __init__(self) -> None:
        self.work: Callable[[], None] | None = None

    def __call__(self, work: Callable[[], None]) -> bool:
        self.work = work
        return True


@pytest.fixture
def storm() -> Fanout:
    return Fanout(lambda: {"presence": 1, "health": 2}, later=Moments())


def test_events_of_one_moment_leave_in_one_write_in_their_order(storm: Fanout) -> None:
    tape = joined(storm, "operator.read")
    for number in range(3):
        storm.publish("cron", {"n": number})
    assert tape.frames == []
    assert isinstance(storm.later, Moments)
    assert storm.later.work is not None
    storm.later.work()
    assert tape.seen == [("cron", 1), ("cron", 2), ("cron", 3)]
    assert [frame["payload"]["n"] for frame in tape.frames] == [0, 1, 2]
    assert tape.writes == 1


def test_nothing_overtakes_an_event_and_no_close_swallows_one(storm: Fanout) -> None:
    answered, told, closed = (
        joined(storm, "operator.read"),
        joined(storm, "operator.read"),
        joined(storm, "operator.read"),
    )
    storm.publish("cron", {})
    storm.settle("c0")
    assert (len(answered.frames), len(told.frames)) == (1, 0)
    storm.tell(["c1"], "cron", {"more": True})
    assert [frame.get("seq") for frame in told.frames] == [1, None]
    storm.publish("shutdown", {"reason": "stop"})
    storm.close_all(1012, "service restart")
    assert closed.seen == [("cron", 1), ("shutdown", 2)]
    assert closed.closed == (1012, "service restart")


def test_of_a_batch_a_slow_reader_loses_what_may_be_dropped_and_nothing_else(
    storm: Fanout,
) -> None:
    tape = joined(storm, "operator.read", waiting=MAX_BUFFERED - 200)
    storm.publish("cron", {"pad": "x" * 500})
    storm.publish("heartbeat", {})
    storm.flush()
    assert tape.seen == [("heartbeat", 2)]
    storm.publish("heartbeat", {})
    storm.publish("health", {"pad": "x" * 500})
    storm.flush()
    assert tape.seen[1:] == [("heartbeat", 3)]
    assert tape.closed == (1008, "slow consumer")
    assert len(storm) == 0
