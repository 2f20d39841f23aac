"""How the house is built, where neither the linter nor the import contracts can see it."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.messages.delivery import State
from jobs.errors import EngineError
from jobs.ledger import RunStatus
from jobs.store.db import Database

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for floor in ("jobs", "engine", "gateway") for path in (ROOT / floor).rglob("*.py")
)
TESTS = sorted(
    path for path in (ROOT / "tests").rglob("*.py") if not {"bench", "soak"} & set(path.parts)
)  # a bench and a soak wait on purpose
Rooms = dict[str, list[Path]]


def by_room(paths: list[Path]) -> Rooms:
    """Files by the folder they lie in: one test a room, which names every file it finds."""
    rooms: Rooms = {}
    for path in paths:
        rooms.setdefault(path.parent.relative_to(ROOT).as_posix(), []).append(path)
    return rooms


ROOMS, TEST_ROOMS = by_room(SOURCES), by_room(TESTS)
CLOCKS = {
    "engine/clock.py",
    "gateway/client.py",  # how long the command line still waits for one answer
}
# The linter bans what it can name; these read a clock, too.
READINGS = {
    *(f"time.{name}" for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter")),
    *("time.localtime", "time.gmtime", "time.strftime", "time.ctime"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("pendulum.now", "pendulum.today"),
}
NAPS = {"time.sleep", "asyncio.sleep", "anyio.sleep"}
NOWHERE = {"utils", "util", "helpers", "helper", "common", "misc", "shared", "manager", "data"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def dotted(node: ast.expr) -> str:
    """`time.monotonic` of an expression that says so, else nothing."""
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def described(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The module and what it offers to others."""
    yield name_of(path), tree(path)
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            not node.name.startswith("_")
        ):
            yield f"{name_of(path)}: {node.name}", node


def kinds(base: type[EngineError] = EngineError) -> Iterator[type[EngineError]]:
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


@cache
def every_kind() -> tuple[type[EngineError], ...]:
    for path in SOURCES:
        if "EngineError" in path.read_text("utf-8"):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return tuple(kinds())


@pytest.mark.parametrize("room", ROOMS)
def test_nobody_reads_the_clock_but_the_clock(room: str) -> None:
    read = [
        f"{name_of(path)}:{node.lineno} {dotted(node)}"
        for path in ROOMS[room]
        if name_of(path) not in CLOCKS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and dotted(node) in READINGS
    ]
    assert not read


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_and_what_it_offers_is_described(room: str) -> None:
    silent = [
        name
        for path in ROOMS[room]
        for name, node in described(path)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not ast.get_docstring(node)
    ]
    assert not silent


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_keeps_what_happens(room: str) -> None:
    """State belongs to an object that one owner starts and stops."""
    assert not [
        f"{name_of(path)}:{node.lineno}"
        for path in ROOMS[room]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Global)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_every_task_has_a_name(room: str) -> None:
    assert not [
        f"{name_of(path)}:{node.lineno}"
        for path in ROOMS[room]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and dotted(node.func).endswith("create_task")
        and not any(word.arg == "name" for word in node.keywords)
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_a_suppression_has_its_code_and_its_reason(room: str) -> None:
    for path in ROOMS[room]:
        for line in path.read_text("utf-8").splitlines():
            if found := re.search(r"# (?:noqa|type: ignore)(.*)", line):
                told = f"{name_of(path)}: {line}"
                assert re.fullmatch(r"(: [A-Z0-9, ]+ - .+|\[[\w, -]+\]  # .+)", found[1]), told


@pytest.mark.parametrize("floor", ["jobs", "engine", "gateway"])
def test_who_imports_us_gets_our_types(floor: str) -> None:
    assert (ROOT / floor / "py.typed").exists()


def test_no_room_is_called_utils() -> None:
    assert not [name_of(path) for path in SOURCES if path.stem in NOWHERE]


@pytest.mark.parametrize("room", TEST_ROOMS)
def test_no_test_naps_or_mocks(room: str) -> None:
    for path in TEST_ROOMS[room]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and dotted(node.func) in NAPS:
                # nothing but 0, which lets others run
                assert ast.unparse(node.args[0]) == "0", f"{name_of(path)}:{node.lineno}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "mock" not in ast.unparse(node), f"{name_of(path)}:{node.lineno}"


def test_no_two_errors_share_a_code() -> None:
    codes = Counter(kind.code for kind in every_kind())
    assert codes.most_common(1)[0][1] == 1, codes.most_common(3)


@pytest.mark.parametrize("room", ROOMS)
def test_every_refusal_says_what_to_do_next(room: str) -> None:
    """A refused config says it line by line."""
    refusals = {kind.__name__ for kind in every_kind()} - {"ConfigInvalid"}
    silent = [
        f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"
        for path in ROOMS[room]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and dotted(node.func).rpartition(".")[2] in refusals
        and not any(word.arg in ("fix", None) for word in node.keywords)
    ]
    assert not silent


@pytest.mark.parametrize(
    ("table", "column", "words"), [("outbox", "state", State), ("runs", "status", RunStatus)]
)
async def test_the_database_knows_the_same_states(
    tmp_path: Path, table: str, column: str, words: type[StrEnum]
) -> None:
    database = await Database.open(tmp_path / "state.db")
    found = await database.read(
        lambda tx: tx.execute(
            sa.text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table}
        ).scalar_one()
    )
    await database.close()
    allowed = re.search(rf"CHECK \(\(({column} = [^)]*)\)\)", str(found))
    assert allowed is not None
    assert set(re.findall(r"'([a-z-]+)'", allowed[1])) == set(words)
