"""The schema of the wire is that of the models, and what is written fits it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.protocol import errors, frames, schema
from gateway.protocol.methods import EVENTS, METHODS
from jobs.errors import NotFound
from tests.unit.gateway.protocol.test_handshake import NOW, handshake, request

COPY = Path(__file__).parents[3] / "fixtures" / "protocol_frames.json"


def test_the_frames_are_those_of_the_committed_copy() -> None:
    """A change of the frames is a change of the contract: look at it, then write it anew."""
    assert schema.of_frames() == json.loads(COPY.read_text("utf-8"))


def test_every_method_and_event_is_told() -> None:
    whole = schema.whole()
    assert list(whole["methods"]) == list(METHODS)
    assert list(whole["events"]) == list(EVENTS)
    assert json.loads(json.dumps(whole)) == whole


def test_params_are_closed_objects_in_the_spelling_of_the_wire() -> None:
    told = schema.of_method("device.token.rotate")
    assert told["scope"] == "operator.pairing"
    assert told["params"]["additionalProperties"] is False
    assert "deviceId" in told["params"]["properties"]


def test_an_unknown_method_has_no_schema() -> None:
    with pytest.raises(NotFound):
        schema.of_method("nosuch")


def written(text: str) -> Any:
    return json.loads(text)


def test_what_the_gateway_writes_fits_its_schema() -> None:
    shaking = handshake()
    challenge = written(shaking.challenge(NOW).text)
    schema.EventFrame.model_validate(challenge)
    schema.Challenge.model_validate(challenge["payload"])
    (hello,) = shaking.receive(request(), NOW)
    answer = written(hello.text)  # type: ignore[union-attr]  # a single frame is sent
    schema.ResponseFrame.model_validate(answer)
    schema.HelloOk.model_validate(answer["payload"])
    refused = written(frames.failure("1", errors.starting("agent").to_wire()))
    assert schema.ResponseFrame.model_validate(refused).error is not None
    event = frames.event("presence", "{}", seq=1, state_version={"presence": 1, "health": 2})
    schema.EventFrame.model_validate(written(event))
