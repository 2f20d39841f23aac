"""Targets of heartbeats and who is there: told when the file is read, not at the first alert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.config.load import Loaded, load
from jobs.errors import ConfigInvalid

TELEGRAM = {"botToken": "1:a", "allowFrom": ["42"]}


def loaded(tmp_path: Path, block: dict[str, Any], **more: Any) -> Loaded:
    telegram, agents = more.get("telegram", {}), more.get("agents", ())
    config = {
        "agents": {"defaults": {"heartbeat": block}, "list": list(agents)},
        "channels": {"telegram": TELEGRAM | telegram},
    }
    return load(tmp_path / "engine.json", {}, home=tmp_path, raw=json.dumps(config).encode())


def refused(tmp_path: Path, block: dict[str, Any]) -> str:
    with pytest.raises(ConfigInvalid) as refusal:
        loaded(tmp_path, block)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("block", "code", "key"),
    [
        ({"target": "telegram"}, "heartbeat.no_recipient", "target"),
        ({"to": "42"}, "heartbeat.to_unused", "to"),
        ({"target": "none", "to": "42"}, "heartbeat.to_unused", "to"),
    ],
)
def test_a_target_without_recipient_and_a_recipient_without_target_are_told(
    tmp_path: Path, block: dict[str, Any], code: str, key: str
) -> None:
    (note,) = loaded(tmp_path, block).notes
    assert (note.code, note.level) == (code, "warning")
    assert note.path == f"agents.defaults.heartbeat.{key}"


@pytest.mark.parametrize(
    ("block", "more"),
    [
        ({"target": "telegram:42"}, {}),
        ({"target": "telegram", "to": "42"}, {}),
        ({"target": "telegram"}, {"telegram": {"defaultTo": "42"}}),
        ({"to": "42"}, {"agents": [{"id": "a", "heartbeat": {"target": "telegram"}}]}),
        ({"target": "local"}, {}),
        ({"target": "last", "to": "42"}, {}),
    ],
)
def test_a_target_that_has_somebody_is_left_alone(
    tmp_path: Path, block: dict[str, Any], more: dict[str, Any]
) -> None:
    assert loaded(tmp_path, block, **more).notes == ()


def test_a_recipient_is_named_once(tmp_path: Path) -> None:
    told = refused(tmp_path, {"target": "telegram:42", "to": "43"})
    assert 'target "telegram:42" already names the recipient' in told


def test_a_channel_that_does_not_exist_is_no_target(tmp_path: Path) -> None:
    told = refused(tmp_path, {"target": "pigeon"})
    assert 'unknown channel "pigeon" — use none, last, owner, local' in told


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"digest": {"at": ["9:00"]}}, 'invalid time "9:00" (use HH:MM)'),
        ({"digest": {"at": ["24:00"]}}, 'invalid time "24:00"'),
        ({"escalate": {"after": "30m", "target": "telegramm:9"}}, "did you mean"),
        ({"escalate": {"after": "30m", "target": "none"}}, 'unknown channel "none"'),
        ({"escalate": {"after": "30m", "target": "telegram:nobody"}}, "was not understood"),
        ({"escalate": {"after": "0s", "target": "telegram:9"}}, "longer than nothing"),
        ({"escalate": {"after": "30m"}}, "target"),
    ],
)
def test_a_digest_and_an_escalation_nobody_can_read_are_refused(
    tmp_path: Path, block: dict[str, Any], words: str
) -> None:
    assert words in refused(tmp_path, {"target": "telegram:42"} | block)


def test_a_digest_and_an_escalation_that_can_be_read_are_taken(tmp_path: Path) -> None:
    block = {
        "target": "telegram:42",
        "digest": {"at": ["09:00", "18:30"]},
        "escalate": {"after": "30m", "target": "owner", "priority": "high"},
    }
    assert not loaded(tmp_path, block).notes
