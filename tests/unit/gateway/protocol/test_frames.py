"""Frames: text in, values out, and back."""

from __future__ import annotations

import json

import pytest

from gateway.protocol import frames
from gateway.protocol.errors import Refusal
from gateway.protocol.frames import BadFrame, Encoded, NotJson, Request
from gateway.protocol.methods import METHODS, Scope, allows, parse_params


@pytest.mark.parametrize("params", ["", ',"params":null', ',"params":{}'])
def test_absent_null_and_empty_params_are_the_same(params: str) -> None:
    text = f'{{"type":"req","id":"1","method":"health"{params}}}'
    assert frames.decode(text) == Request("1", "health", {})


def test_a_binary_frame_with_json_is_accepted() -> None:
    assert frames.decode(b'{"type":"req","id":"1","method":"m"}') == Request("1", "m", {})


@pytest.mark.parametrize(
    ("text", "frame_id", "words"),
    [
        ('{"type":"req","id":"7","method":""}', "7", "at /method"),
        ('{"type":"res","id":"7","method":"x"}', "7", "must be equal to one of the allowed"),
        ('{"type":"req","method":"x"}', "invalid", "must have required property 'id'"),
        ('{"type":"req","id":4,"method":"x"}', "invalid", "at /id: must be string"),
        ("[1]", "invalid", "at root: must be object"),
    ],
)
def test_a_bad_frame_keeps_its_id_and_says_why(text: str, frame_id: str, words: str) -> None:
    bad = frames.decode(text)
    assert isinstance(bad, BadFrame)
    assert bad.id == frame_id
    assert words in bad.reason


@pytest.mark.parametrize("text", ["", "{", b"\xff\xfe", "nul"])
def test_what_is_not_json_is_told_apart(text: str | bytes) -> None:
    assert frames.decode(text) == NotJson()


def test_an_encoded_payload_is_spliced_in_as_it_stands() -> None:
    text = frames.response('a"b', Encoded('{"ok":true}'))
    assert json.loads(text) == {"type": "res", "id": 'a"b', "ok": True, "payload": {"ok": True}}


def test_an_event_carries_its_number_and_versions() -> None:
    text = frames.event("health", "{}", seq=3, state_version={"presence": 1, "health": 2})
    assert json.loads(text) == {
        "type": "event",
        "event": "health",
        "payload": {},
        "seq": 3,
        "stateVersion": {"presence": 1, "health": 2},
    }


def test_a_bad_param_is_told_in_known_words_with_its_path() -> None:
    with pytest.raises(Refusal) as refused:
        parse_params(METHODS["cron.list"], {"limit": 500})
    assert refused.value.error.message.startswith("invalid cron.list params: at /limit")
    assert refused.value.error.details["path"] == "/limit"


def test_a_job_is_named_by_id_or_job_id_but_not_both() -> None:
    assert parse_params(METHODS["cron.get"], {"jobId": "a"}).ref == "a"  # type: ignore[attr-defined]
    for wrong in ({}, {"id": "a", "jobId": "a"}):
        with pytest.raises(Refusal, match="must have required property 'id'"):
            parse_params(METHODS["cron.get"], wrong)


def test_write_implies_read_and_admin_implies_all() -> None:
    assert allows(("operator.write",), Scope.READ)
    assert allows(("operator.admin",), Scope.PAIRING)
    assert not allows(("operator.read",), Scope.WRITE)
    assert not allows((), Scope.READ)
    assert allows((), None)
