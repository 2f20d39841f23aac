"""Every command with the gateway down: one exit status for one meaning (operations.md §14.1).

3: what was asked needs a gateway, and none answers. 0: the store of this home answered. 1: the
report was produced, and what it is about is not well (§9.2, §9.4, §10).
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from engine.cli.app import Group, cli
from tests.unit.engine.cli.conftest import Engine
from tests.unit.engine.cli.test_at_rest import _lived


def calling(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that has a gateway to call: it takes `--url`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if isinstance(found, Group):
            yield from calling(found, (*path, name))
        elif found is not None and any(one.name == "url" for one in found.params):
            yield (*path, name)


COMMANDS = {" ".join(path): path for path in calling(cli)}
UNHEALTHY = {"gateway status", "gateway probe", "why", "heartbeat explain", "doctor", "cron doctor"}
# Told by what the home knows, and with the status of a gateway that is down all the same:
# the answer is about what is so now, which nobody knows.
SAID = {"status", "channels status"}
STORED = {
    "cron list", "cron show", "cron get", "cron runs", "cron next", "cron explain",
    "cron timeline", "heartbeat last", "heartbeat history", "heartbeat slo", "heartbeat next",
    "heartbeat replay", "heartbeat cost", "heartbeat tasks", "heartbeat inbox", "inbox list",
    "cron plan", "cron export", "cron import",  # of the config, of a file
    "pairing list", "channels routes", "inbox show", "outbox list",
    "outbox show", "cron explain-run", "system heartbeat last",
    "logs", "models status", "infer model run", "hooks test",  # of files, of the config
}  # fmt: skip


OTHERWISE = {  # where the example does not tell it
    "heartbeat tasks": ["heartbeat", "tasks"],
    "cron add": ["cron", "add", "0 7 * * *", "What is on?"],
    "cron create": ["cron", "create", "0 7 * * *", "What is on?"],
    "cron import": ["cron", "import", "--from", "crontab", "/dev/null"],
}


def words_of(path: tuple[str, ...]) -> list[str]:
    """The example of a command's help, which is a call that makes sense."""
    if (instead := OTHERWISE.get(" ".join(path))) is not None:
        return instead
    found: click.Command = cli
    for name in path:
        assert isinstance(found, Group)
        child = found.get_command(click.Context(found), name)
        assert child is not None
        found = child
    example = (found.epilog or "").removeprefix("Example: ")
    return shlex.split(example.partition(" >")[0])[1:]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was lived in."""
    state = tmp_path_factory.mktemp("home") / ".engine"
    state.mkdir()
    (state / "engine.json").write_text("{ gateway: { mode: 'local', port: 1 } }")
    asyncio.run(_lived(state))
    return state


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_as_the_table_says(
    engine: Engine, state: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("ENGINE_STATE_DIR", str(state))
    told = engine(*words_of(COMMANDS[name]))
    if name in UNHEALTHY:
        assert told.status == 1, (told.out, told.err)
    elif name in STORED:
        # 6: the example names nobody here; 1: it tells of beats that are not well
        assert told.status in ((0, 1) if name == "heartbeat slo" else (0, 6)), (told.out, told.err)
    else:
        assert told.status == 3, (told.out, told.err)
    if told.status == 3:
        assert "engine gateway" in told.out + told.err  # what mends it


def test_the_lists_name_commands_that_exist() -> None:
    assert COMMANDS.keys() >= UNHEALTHY | SAID | STORED


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("61 * * * *", "hello"), "61"),
        (("--every", "0s", "--message", "hello"), "0s"),
        (("0 7 * * *", "hello", "--tz", "Mars/Base"), "Mars/Base"),
        (("every blue moon at 9", "hello"), "every blue moon"),
        (("0 7 * * *", "hello", "--agent", "nobody"), "nobody"),
    ],
)
def test_a_bad_job_is_refused_as_bad_whatever_the_gateway(
    engine: Engine, home: Path, words: tuple[str, ...], said: str
) -> None:
    (home / ".engine" / "engine.json").write_text("{ gateway: { mode: 'local', port: 1 } }")
    told = engine("cron", "add", *words)
    assert told.status in (1, 2)
    assert said in told.err
    assert "gateway is not running" not in told.err


@pytest.mark.parametrize("words", ["0 7 * * *", "every weekday at 9"])
def test_a_good_job_needs_a_gateway(engine: Engine, home: Path, words: str) -> None:
    (home / ".engine" / "engine.json").write_text("{ gateway: { mode: 'local', port: 1 } }")
    told = engine("cron", "add", words, "hello", "--json")
    assert told.status == 3
    assert json.loads(told.out)["error"]["code"] == "gateway-down"
