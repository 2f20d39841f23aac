"""`engine sessions` and `engine tasks` with a whole engine behind them (operations.md §1.1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fakes.gateway_port import Port
from tests.unit.engine.cli.conftest import Engine


@pytest.mark.parametrize(
    "words",
    [("sessions", "list"), ("tasks", "list"), ("nodes", "status"), ("models", "status")],
)
def test_lists_are_one_document_for_programs(
    engine: Engine, gateway: Port, words: tuple[str, ...]
) -> None:
    told = engine(*words, "--json")
    assert told.status == 0
    assert isinstance(json.loads(told.out), dict)
    assert engine(*words).status == 0


def test_a_conversation_is_shown_exported_and_begun_anew(
    engine: Engine, gateway: Port, tmp_path: Path
) -> None:
    assert engine("sessions", "show", "main").status == 0
    target = tmp_path / "main.jsonl"
    assert engine("sessions", "export", "main", "--output", target).status == 0
    assert json.loads(target.read_text().splitlines()[0])["type"] == "session"
    assert target.stat().st_mode & 0o777 == 0o600
    assert "begins anew" in engine("sessions", "reset", "main").out


@pytest.mark.parametrize(
    "words",
    [
        ("sessions", "show", "agent:main:nobody"),
        ("sessions", "reset", "agent:main:nobody"),
        ("sessions", "delete", "agent:main:nobody", "--yes"),
        ("tasks", "show", "nothing"),
        ("tasks", "cancel", "nothing"),
        ("nodes", "describe", "--node", "kitchen"),
    ],
)
def test_who_names_what_is_not_there_is_told_where_to_look(
    engine: Engine, gateway: Port, words: tuple[str, ...]
) -> None:
    told = engine(*words)
    assert told.status == 6
    assert "Fix: engine" in told.err
