"""`engine env` tells what is set and by whom, and no value."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.engine.cli.conftest import Engine


def test_every_variable_is_told_without_its_value(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = home / ".engine"
    (state / ".env").write_text("MY_WORD=hush-hush\n")
    (state / "engine.json").write_text("{ agents: { defaults: { thinking: '${MY_WORD}' } } }")
    monkeypatch.setenv("OPENAI_API_KEY", "hush-hush")
    told = engine("env", "--json")
    rows = {row["name"]: row for row in json.loads(told.out)["variables"]}
    assert rows["MY_WORD"] == {"name": "MY_WORD", "set": True, "source": str(state / ".env")}
    assert rows["OPENAI_API_KEY"]["source"] == "process"
    assert rows["ENGINE_GATEWAY_BIND"]["set"] is False
    assert "hush" not in told.out
    assert "hush" not in engine("env").out
