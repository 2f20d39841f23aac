"""`engine help`: every topic is a page, every page a topic, and what it says is so."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from engine.cli.manual import pages
from engine.config.paths import VARIABLES
from engine.config.starters import STARTERS
from jobs.errors import EngineError
from jobs.ledger import SkipReason
from tests.test_architecture import every_kind
from tests.unit.engine.cli.conftest import Engine

ROOT = Path(__file__).parents[5]
DOCS = ROOT / "docs"
# Not for people: set by the service, by tests, or of no effect here.
SILENT = {
    *(name for name in VARIABLES if name.startswith("ENGINE_SERVICE_")),
    *("ENGINE_TESTING", "ENGINE_CRASH_AT", "ENGINE_LOAD_SHELL_ENV", "ENGINE_DISABLE_BONJOUR"),
    *("ENGINE_SKIP_CANVAS_HOST", "ENGINE_CANVAS_HOST_PORT", "ENGINE_HANDSHAKE_TIMEOUT_MS"),
    *("ENGINE_ALLOW_INSECURE_PRIVATE_WS", "ENGINE_ALLOW_OLDER_BINARY_DESTRUCTIVE_ACTIONS"),
}


def rows(topic: str) -> list[str]:
    """What stands in code in the first column of a page's tables."""
    return re.findall(r"^\| (?:`([^`]+)`|\d+)", pages.page(topic), re.MULTILINE)


def test_every_page_is_a_topic_and_every_topic_a_page() -> None:
    assert sorted(path.stem for path in DOCS.glob("*.md")) == sorted(pages.TOPICS)


@pytest.mark.parametrize("topic", pages.TOPICS)
def test_a_page_is_read_as_it_is_written(engine: Engine, topic: str) -> None:
    told = engine("help", topic)
    assert told.status == 0
    first = (DOCS / f"{topic}.md").read_text().partition("\n")[0]
    assert told.out.startswith(f"{first.removeprefix('# ').upper()}\n")
    assert "```" not in told.out
    assert "](" not in told.out
    prose = [line for line in told.out.splitlines() if not line.startswith("    ")]
    assert all(len(line) <= 100 for line in prose)
    assert len(told.out.splitlines()) <= 80


def test_without_a_word_it_lists_the_topics(engine: Engine) -> None:
    told = engine("help")
    assert [line.split()[0] for line in told.out.splitlines()[:-1]] == [*pages.TOPICS]
    assert [*json.loads(engine("help", "--json").out)["topics"]] == [*pages.TOPICS]


def test_a_command_is_explained_as_its_own_help_explains_it(engine: Engine) -> None:
    told = engine("help", "cron", "add")
    assert told.out.startswith("Usage: engine cron add ")
    assert told.out == engine("cron", "add", "--help").out


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("heartbat", "heartbeat"),
        ("exit-code", "exit-codes"),
        ("statsu", "status"),
        ("cron ad", "cron add"),
    ],
)
def test_an_unknown_topic_names_the_nearest(engine: Engine, asked: str, near: str) -> None:
    told = engine("help", *asked.split())
    assert told.status == 6
    assert f"did you mean {near}?" in told.err
    assert f"Fix: engine help {near}" in told.err


@pytest.mark.parametrize("word", pages.ALSO)
def test_other_words_lead_to_a_page(word: str) -> None:
    assert pages.named(word) in pages.TOPICS


def test_topics_and_commands_are_completed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    import click
    from click.shell_completion import ShellComplete

    from engine.cli.app import cli

    def offered(*words: str) -> list[str]:
        made = ShellComplete(cli, {}, "engine", "_ENGINE_COMPLETE")
        return [one.value for one in made.get_completions(list(words[:-1]), words[-1])]

    assert isinstance(cli, click.Group)
    assert offered("help", "sch") == ["schedules"]
    assert offered("help", "cron", "ad") == ["add", "adopt"]


def test_a_wheel_carries_the_pages() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert built["targets"]["wheel"]["force-include"] == {"docs": "engine/manual"}


def test_every_exit_status_stands_on_its_page() -> None:
    told = {int(one) for one in re.findall(r"^\| (\d+) \|", pages.page("exit-codes"), re.MULTILINE)}
    assert {kind.exit_status for kind in every_kind()} <= told
    assert issubclass(every_kind()[0], EngineError)


def test_every_variable_somebody_may_set_stands_on_its_page() -> None:
    assert set(rows("environment")) == set(VARIABLES) - SILENT


def test_every_channel_of_the_table_stands_on_its_page() -> None:
    assert [one for one in rows("channels") if one] == [
        name for name in ("local", "telegram", "qqbot", "webhook", "apprise") if name in STARTERS
    ]


def test_every_reason_for_silence_on_its_page_is_one() -> None:
    known = {reason.value for reason in SkipReason}
    assert {one for one in rows("silence") if one} <= known
