"""The gateway's protocol without a socket (channels.md §8)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.channels.qq.session import (
    Act,
    Beat,
    Happened,
    Hello,
    Leave,
    Place,
    Ready,
    Session,
    place_of,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def frame(op: int, d: object = None, **more: Any) -> str:
    return json.dumps({"op": op, "d": d, **more})


def ready(session: Session, session_id: str = "s1") -> Act | None:
    return session.receive(
        frame(0, {"session_id": session_id, "user": {"id": "b"}}, s=1, t="READY")
    )


def happened(seq: int) -> str:
    return frame(0, {"content": "x"}, s=seq, t="C2C_MESSAGE_CREATE", id=f"e{seq}")


def test_who_has_no_session_identifies_and_who_has_one_resumes_it() -> None:
    session = Session(1 << 25)
    told = json.loads(session.authenticate("QQBot t"))
    assert (told["op"], told["d"]["intents"], told["d"]["shard"]) == (2, 1 << 25, [0, 1])
    assert told["d"]["token"] == "QQBot t"
    ready(session)
    again = json.loads(session.authenticate("QQBot u"))
    assert again == {"op": 6, "d": {"token": "QQBot u", "session_id": "s1", "seq": 1}}
    session.forget()
    assert json.loads(session.authenticate("QQBot u"))["op"] == 2


def test_the_stream_moves_on_only_with_what_is_durable() -> None:
    session = Session(1)
    ready(session)
    assert session.receive(happened(2)) == Happened(2, "C2C_MESSAGE_CREATE", {"content": "x"}, "e2")
    assert json.loads(session.authenticate("t"))["d"]["seq"] == 1
    session.admitted(2)
    session.admitted(1)
    session.admitted(None)
    assert json.loads(session.authenticate("t"))["d"]["seq"] == 2
    assert json.loads(session.pulse()) == {"op": 1, "d": 2}


def test_a_heartbeat_nobody_answered_is_the_last() -> None:
    session = Session(1)
    ready(session)
    assert session.heartbeat() is not None
    assert session.heartbeat() is None
    session.opened()
    assert session.heartbeat() is not None
    session.receive(frame(11))
    assert session.heartbeat() is not None


def test_every_opcode_asks_for_what_it_means() -> None:
    session = Session(1)
    assert session.receive(frame(10, {"heartbeat_interval": 41250})) == Hello(
        timedelta(milliseconds=41250)
    )
    assert session.receive(frame(1)) == Beat()
    assert ready(session) == Ready(resumed=False, me={"id": "b"})
    resumed = session.receive(frame(0, "", s=9, t="RESUMED"))
    assert resumed == Ready(resumed=True, me={})
    assert session.seq == 9
    left = session.receive(frame(7))
    assert isinstance(left, Leave)
    assert left.asked_to_reconnect
    left = session.receive(frame(9, d=False))
    assert isinstance(left, Leave)
    assert left.invalid_session


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "[" * 5000, '{"op": "x"}', '{"op": 99}', '{"op": 0}', b"\xff\xfe"],
)
def test_garbage_is_passed_over(text: str | bytes) -> None:
    act = Session(1).receive(text)
    assert act is None or act == Happened(None, "", {}, "")


@pytest.mark.parametrize("interval", [None, 0, -5, "x", True, 1e300, float("nan")])
def test_no_interval_makes_a_heartbeat_race_or_stop(interval: object) -> None:
    act = Session(1).receive(json.dumps({"op": 10, "d": {"heartbeat_interval": interval}}))
    assert isinstance(act, Hello)
    assert timedelta(seconds=1) <= act.every <= timedelta(minutes=5)


def test_a_place_is_kept_and_believed_for_five_minutes() -> None:
    place = Place("s1", 7, NOON)
    assert place_of(place.text()) == place
    assert place.fresh(NOON + timedelta(minutes=5) - timedelta(seconds=1))
    assert not place.fresh(NOON + timedelta(minutes=5))


@pytest.mark.parametrize("text", [None, "", "x", "{}", "1001", "[1]", '{"session": 1, "seq": "y"}'])
def test_a_place_that_cannot_be_read_is_none(text: str | None) -> None:
    assert place_of(text) is None
