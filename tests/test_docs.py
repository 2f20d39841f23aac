"""The documentation is executed: what it shows works, what exists stands in it."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from engine.cli.app import COMMANDS, cli
from engine.cli.main import main as run_main
from engine.messages.fault import FaultClass
from engine.messages.unheard import Unheard
from engine.workspace import checklist
from gateway.protocol.methods import EVENTS, METHODS
from jobs import errors
from jobs.ledger import REASON_FACTS, SkipReason

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in ("", "docs", "jobs", "engine", "gateway", "tests")
    for page in (ROOT / folder).glob("**/*.md" if folder else "*.md")
)
FLOORS = ("jobs", "engine", "engine/config", "engine/testing", "gateway", "gateway/channels")
README = (ROOT / "README.md").read_text("utf-8")
REASONS = (ROOT / "engine" / "REASONS.md").read_text("utf-8")
GATEWAY = (ROOT / "gateway" / "README.md").read_text("utf-8")
COMMAND_PAGE = (ROOT / "engine" / "cli" / "README.md").read_text("utf-8")
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HINT = re.compile(
    r"(?:^|[:;(\"'`] ?|or )engine (?!itself|is\b|broke|config is)([a-z]+(?: [a-z-]+)?)"
)
_CALL = re.compile(r"`engine ([^`]+)`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command by its words, groups included."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from commands(found, (*path, name))


ALL: Mapping[tuple[str, ...], click.Command] = dict(commands(cli))


def called(words: list[str]) -> click.Command | None:
    """The command a line of documentation calls, aliases and all."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group):
            return command
        if word.startswith("-"):
            return command
        found = command.get_command(click.Context(command), word)
        if found is None:
            return None
        command = found
    return command


def status(words: list[str]) -> int:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as end:
        run_main(words)
    return int(end.value.code or 0)


def calls_in_blocks(text: str) -> Iterator[list[str]]:
    """Those somebody is to type."""
    for language, block in _BLOCK.findall(text):
        if language == "console":
            for line in block.splitlines():
                if line.startswith("$ engine "):
                    yield shlex.split(line.removeprefix("$ engine "))


def calls(text: str) -> Iterator[list[str]]:
    """Every call of `engine` a page shows: in a console block, or between backticks."""
    yield from calls_in_blocks(text)
    for call in _CALL.findall(_BLOCK.sub("", text)):
        yield shlex.split(call.split(" (")[0])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_a_page_shows_exists_with_its_flags(page: Path) -> None:
    for words in calls(page.read_text("utf-8")):
        if words[0].startswith("-") or words[0].isupper():
            continue
        command = called(words)
        assert command is not None, words
        known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
        flags = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert flags <= known | {"--help", "--version", "--profile", "--dev", "--json"}, words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_snippet_of_python_compiles(page: Path) -> None:
    for language, block in _BLOCK.findall(page.read_text("utf-8")):
        if language == "python":
            compile(block, name_of(page), "exec")


def told_in(source: Path) -> Iterator[str]:
    """Every call of `engine` in a text the code prints; prose about "the engine" is none."""
    tree = ast.parse(source.read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, kinds)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value not in docs
        ):
            yield from _HINT.findall(node.value)


@pytest.mark.parametrize("folder", ["jobs", "engine", "gateway"])
def test_no_remedy_names_a_command_that_does_not_exist(folder: str) -> None:
    for source in (ROOT / folder).rglob("*.py"):
        for hint in told_in(source):
            assert called(hint.split()) is not None, f"{source}: engine {hint}"


@pytest.mark.parametrize("path", [path for path in ALL if path], ids=" ".join)
def test_every_command_says_what_it_is_for(path: tuple[str, ...]) -> None:
    assert (ALL[path].help or "").strip(), path


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_an_example_that_can_be_typed(path: tuple[str, ...]) -> None:
    """Aliases show the command they stand for."""
    example = (ALL[path].epilog or "").removeprefix("Example: ").partition(". ")[0]
    assert "engine " in example, path
    line = re.split(r" && | > | \| |\)", example.partition("engine ")[2])[0]
    words = shlex.split(line)
    command = called(words)
    assert command is not None, words
    known = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    flags = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert flags <= known | {"--help", "--profile", "--dev"}, words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_list_of_commands(name: str) -> None:
    assert f"`engine {name}`" in COMMAND_PAGE


def test_the_test_of_the_readme_is_the_one_that_is_run() -> None:
    shown = next(block for language, block in _BLOCK.findall(README) if language == "python")
    run = (ROOT / "tests" / "flow" / "test_readme_example.py").read_text("utf-8")
    assert shown in run


@pytest.mark.parametrize("reason", SkipReason)
def test_every_reason_is_explained_as_the_command_explains_it(reason: SkipReason) -> None:
    meaning, fix = REASON_FACTS[reason]
    assert f"| `{reason.value}` | {meaning} | {fix} |" in REASONS


@pytest.mark.parametrize("fault", FaultClass)
def test_every_way_a_message_fails_is_explained_with_the_way_out(fault: FaultClass) -> None:
    way_out = fault.hint if fault.mendable else "nothing: it is tried again, or mended, by itself"
    assert f"| `{fault.value}` | {fault.sentence} | {way_out} |" in REASONS


@pytest.mark.parametrize("reason", Unheard)
def test_every_reason_for_no_answer_is_explained_as_the_log_explains_it(reason: Unheard) -> None:
    assert f"| `{reason.value}` | {reason.sentence} | {reason.fix} |" in REASONS


def test_every_error_code_is_explained_with_its_status() -> None:
    told = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", REASONS, re.MULTILINE))
    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    known = {
        kind.code: str(kind.exit_status) for kind in kinds if issubclass(kind, errors.EngineError)
    }
    assert told == known


def test_every_method_and_event_stands_in_its_table() -> None:
    for scope, names in re.findall(r"^\| (none|operator\.\w+) \| (.+) \|$", GATEWAY, re.MULTILINE):
        wanted = None if scope == "none" else scope
        mine = [name for name, method in METHODS.items() if method.scope == wanted]
        assert re.findall(r"`([^`]+)`", names) == mine
    assert {name for name in METHODS if f"`{name}`" not in GATEWAY} == set()
    assert {name for name in EVENTS if f"`{name}`" not in GATEWAY} == set()


def test_the_example_checklist_is_one() -> None:
    found = checklist.parse((ROOT / "HEARTBEAT.md.example").read_bytes())
    assert not found.empty
    assert not found.warnings
    assert len(found.tasks) == 2


def test_what_cron_next_prints_is_what_the_readme_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    block = next(block for _, block in _BLOCK.findall(README) if "engine cron next" in block)
    call, _, printed = block.partition("\n")
    assert status(shlex.split(call.removeprefix("$ engine "))) == 0
    assert capsys.readouterr().out == printed


def test_the_config_on_the_first_screen_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for language, block in _BLOCK.findall(README):
        if language == "json5":
            (tmp_path / "engine.json").write_text(block, "utf-8")
            monkeypatch.setenv("ENGINE_STATE_DIR", str(tmp_path))
            monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:stand-in")
            monkeypatch.setenv("OPENAI_API_KEY", "stand-in")
            assert status(["config", "validate"]) == 0, capsys.readouterr()


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_plan_shows_every_room_and_no_other(floor: str) -> None:
    page = (ROOT / floor / "README.md").read_text("utf-8")
    rooms = {
        path.name if path.suffix else f"{path.name}/"
        for path in (ROOT / floor).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    shown = set(re.findall(r"`(\w+(?:\.py|/))`", page))
    assert rooms - shown <= {"__init__.py", "__main__.py"}
    assert not shown - rooms


@pytest.mark.parametrize("page", [p for p in PAGES if p.name == "README.md"], ids=name_of)
def test_a_floor_plan_is_read_in_one_go(page: Path) -> None:
    generated = "engine/config/README.md"
    if name_of(page) not in ("README.md", generated):
        assert len(page.read_text("utf-8").splitlines()) <= 80


@pytest.mark.parametrize("folder", ["", "jobs", "engine", "gateway"])
def test_every_key_a_remedy_sets_is_a_key_of_the_config(folder: str) -> None:
    keys = (ROOT / "engine" / "config" / "README.md").read_text("utf-8")
    known = re.findall(r"^\| `([^`]+)` \|", keys, re.MULTILINE)
    patterns = [re.compile(re.sub(r"\\\*|<\w+>", r"[^.]+", re.escape(key))) for key in known]
    sources = (ROOT / folder).glob("**/*.py" if folder else "*.md")
    for source in (*sources, *(page for page in PAGES if folder in page.parts)):
        for key in re.findall(r"config (?:set|get|unset) ([A-Za-z][\w.]+\w)", source.read_text()):
            assert any(pattern.fullmatch(key) for pattern in patterns), f"{source}: {key}"
