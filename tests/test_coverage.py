"""What the product must answer, item by item: a row whose answer vanishes fails (operations.md §1).

The table is `fixtures/seed_coverage.json`. An answer is a command with its flags, a variable that
is read, a text the sources say (or never say), a place in the home, a method, an event, or a piece
of config that is accepted.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import pytest

from engine.cli.app import cli, run
from engine.config.load import load
from engine.config.paths import VARIABLES, resolve
from gateway.protocol.methods import EVENTS, METHODS
from jobs.errors import ConfigInvalid

ROOT: Final = Path(__file__).parents[1]
Row = Mapping[str, Any]
ROWS: Final[list[Row]] = json.loads((ROOT / "tests/fixtures/seed_coverage.json").read_text("utf-8"))


def rows(kind: str) -> list[Any]:
    """The rows answered in one way, named as the table names them."""
    return [_named(row) for row in ROWS if kind in row and "unbuilt" not in row]


def _named(row: Row) -> Any:
    return pytest.param(row, id=f"{row['section']} {row['item']}")


@cache
def said() -> tuple[str, ...]:
    """Every text that stands in the sources, also between the braces of a template."""
    return tuple(_texts())


def _texts() -> Iterator[str]:
    for floor in ("engine", "gateway", "jobs"):
        for path in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
        for path in (ROOT / floor).rglob("*.html"):
            yield path.read_text("utf-8")


def command(path: str) -> click.Command:
    """The command behind its words; an alias counts."""
    found: click.Command = cli
    for word in path.split():
        assert isinstance(found, click.Group), f"{found.name} has no commands"
        below = found.get_command(click.Context(found), word)
        assert below is not None, f"engine {path}: there is no {word}"
        found = below
    return found


@pytest.mark.parametrize("row", rows("command"))
def test_a_command_is_there_with_its_flags_help_and_an_example(row: Row) -> None:
    found = command(row["command"])
    flags = {
        flag
        for param in found.params
        if isinstance(param, click.Option)
        for flag in (*param.opts, *param.secondary_opts)
    }
    assert set(row.get("flags", ())) <= flags
    assert found.help
    assert "Example" in (found.epilog or "")
    if row.get("words"):
        assert any(isinstance(param, click.Argument) for param in found.params)


@pytest.mark.parametrize("row", rows("unknown"))
def test_a_name_that_is_no_command_is_answered_with_what_may_be_meant(
    row: Row, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in row["unknown"]:
        assert run([name]) == 2
        told = capsys.readouterr().err
        assert f'"{name}" is not a command of engine' in told
        assert "Fix: engine " in told


@pytest.mark.parametrize("row", rows("text"))
def test_a_text_of_the_contract_stands_in_the_sources(row: Row) -> None:
    missing = [part for part in row["text"] if not any(part in text for text in said())]
    assert missing == []


@pytest.mark.parametrize("row", rows("never"))
def test_a_text_that_helped_nobody_is_said_nowhere(row: Row) -> None:
    docs = [text for text in said() for part in row["never"] if part in text]
    assert [text for text in docs if "cannot be printed" not in text] == []


@pytest.mark.parametrize("row", rows("env"))
def test_a_variable_is_known_and_read(row: Row) -> None:
    assert set(row["env"]) <= set(VARIABLES)
    if row.get("inert"):
        return
    places = [text for text in said() if text.startswith("ENGINE_")]
    for name in row["env"]:
        prefixed = any(name.startswith(f"ENGINE_{word}_") for word in ("GATEWAY",))
        assert places.count(name) > 1 or prefixed, f"{name} is read nowhere"


@pytest.mark.parametrize("row", rows("home"))
def test_a_place_of_the_home_has_its_name(row: Row, tmp_path: Path) -> None:
    paths = resolve({"HOME": str(tmp_path)})
    known = {paths.config, paths.logs, paths.last_exit, paths.state / "workspace"}
    assert {paths.state / name for name in row["home"]} <= known


@pytest.mark.parametrize("row", rows("files"))
def test_a_file_of_the_repository_is_there(row: Row) -> None:
    assert all((ROOT / name).is_file() for name in row["files"])


@pytest.mark.parametrize("row", rows("methods"))
def test_a_method_is_offered(row: Row) -> None:
    assert set(row["methods"]) <= set(METHODS)


@pytest.mark.parametrize("row", rows("events"))
def test_an_event_is_told(row: Row) -> None:
    assert set(row["events"]) <= set(EVENTS)


@pytest.mark.parametrize("row", rows("config"))
def test_a_piece_of_config_is_accepted(row: Row, tmp_path: Path) -> None:
    raw = json.dumps(row["config"]).encode()
    environ = {"OPENAI_API_KEY": "k", "A_KEY": "k"}
    found = load(tmp_path / "engine.json", environ, state=tmp_path, raw=raw)
    if "note" in row:
        assert any(note.code.startswith(row["note"]) for note in found.notes)


@pytest.mark.parametrize("row", rows("refused"))
def test_a_piece_of_config_nobody_knows_is_refused(row: Row, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid):
        load(tmp_path / "engine.json", {}, raw=json.dumps(row["refused"]).encode())


CHECKS: Final[Mapping[str, Callable[[Row], None]]] = {
    "command": test_a_command_is_there_with_its_flags_help_and_an_example,
    "text": test_a_text_of_the_contract_stands_in_the_sources,
    "env": test_a_variable_is_known_and_read,
    "methods": test_a_method_is_offered,
    "events": test_an_event_is_told,
}


@pytest.mark.parametrize("row", [_named(row) for row in ROWS if "unbuilt" in row])
def test_what_is_said_to_be_unbuilt_is_not_there(row: Row) -> None:
    """Once it works, the word has to go from its row."""
    assert row["unbuilt"].startswith("not built, because ")
    (kind,) = CHECKS.keys() & row.keys()
    with pytest.raises(AssertionError):
        CHECKS[kind](row)


def test_every_row_is_answered_in_one_way() -> None:
    ways = {
        "command", "unknown", "text", "never", "env", "home", "files", "methods", "events",
        "config", "refused",
    }  # fmt: skip
    assert [row["item"] for row in ROWS if len(ways & row.keys()) != 1] == []
