"""Commands of agents, as real processes: run, listened to, talked to, ended, told (§13.1)."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.agents.base import Tool, ToolRefused
from engine.agents.tools.exec import Caller, exec_tool, process_tool
from engine.clock import SystemClock
from engine.decisions.wake import NewEvent, QueuedEvent
from engine.process import Ended, run as run_process
from engine.programs.journal import Journal
from engine.programs.room import AT_ONCE, Room
from engine.programs.rules import ExecRules
from engine.store import audit, events, meta
from jobs.errors import NotFound
from jobs.store.db import Database, Tx

FULL = ExecRules(security="full", background_after=timedelta(seconds=10))
FOREVER = "import threading; threading.Event().wait()"


class Ears:
    """Hears the events, as `engine.beats.waking.Waking` would."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.events: asyncio.Queue[NewEvent] = asyncio.Queue()
        self.refuses = False

    async def system_event(
        self, event: NewEvent, *, also: Callable[[Tx], None] | None = None
    ) -> Mapping[str, Any]:
        if self.refuses:
            raise NotFound("the event was not queued", why="agent 'main' is not configured")
        if also is not None:
            await self._database.write(also)
        self.events.put_nowait(event)
        return {"ok": True}

    async def next(self) -> NewEvent:
        return await asyncio.wait_for(self.events.get(), timeout=10)


class Bench:
    """A room, and the tools of one agent in it."""

    def __init__(self, database: Database, workspace: Path) -> None:
        self.database = database
        self.rules = FULL
        self.ears = Ears(database)
        self.journal = Journal(database, SystemClock())
        self.room = Room(
            journal=self.journal,
            clock=SystemClock(),
            rules=lambda: self.rules,
            wakes=lambda: self.ears,
            insist=_at_once,
        )
        self.caller = Caller(
            agent_id="main", session_key="agent:main:main", run_id="r1", workspace=workspace
        )

    async def exec(self, command: str, **more: Any) -> dict[str, Any]:
        return await _used(exec_tool(self.room, self.caller), command=command, **more)

    async def python(self, program: str, **more: Any) -> dict[str, Any]:
        return await self.exec(shlex.join([sys.executable, "-uc", program]), **more)

    async def process(self, action: str, ident: str = "", **more: Any) -> dict[str, Any]:
        tool = process_tool(self.room, self.caller)
        return await _used(tool, action=action, sessionId=ident, **more)

    async def record(self) -> list[tuple[str, dict[str, Any]]]:
        lines = await self.database.read(lambda tx: audit.newest(tx))
        return [(line["action"], line["detail"]) for line in reversed(lines)]


async def _at_once(work: Callable[[], Awaitable[Any]]) -> Any:
    return await work()


async def _used(tool: Tool, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(await tool.call(arguments))
    return answer


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    database = await Database.memory()
    made = Bench(database, tmp_path)
    yield made
    await made.room.stop()
    await database.close()


async def test_what_ends_in_time_answers_with_its_output(bench: Bench) -> None:
    told = await bench.exec("echo hello; echo oops >&2; exit 3")
    assert (told["status"], told["exitCode"]) == ("failed", 3)
    assert set(told["output"].split()) == {"hello", "oops"}
    assert bench.ears.events.empty()


async def test_it_runs_in_the_workspace_with_its_own_variables(bench: Bench) -> None:
    (bench.caller.workspace / "sub").mkdir()
    told = await bench.exec("pwd; echo $A $ENGINE_SHELL", workdir="sub", env={"A": "1"})
    assert told["output"].splitlines() == [str(bench.caller.workspace / "sub"), "1 exec"]


@pytest.mark.parametrize("workdir", ["..", "/", "../x", "missing"])
async def test_a_folder_outside_or_missing_is_refused(bench: Bench, workdir: str) -> None:
    with pytest.raises(ToolRefused):
        await bench.exec("pwd", workdir=workdir)
    ((action, detail),) = await bench.record()
    assert action == "exec.refused"
    assert workdir in detail["because"]


async def test_what_takes_longer_than_it_may_is_ended_with_its_children(
    bench: Bench, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    # The child holds the pipe open: its other end reads to the end once the child is gone.
    program = "sleep 1000 > pipe & echo begun; wait"
    reader = asyncio.create_task(asyncio.to_thread((tmp_path / "pipe").read_text))
    told = await bench.exec(program, timeout=0.3)
    assert (told["status"], told["timedOut"]) == ("failed", True)
    assert await asyncio.wait_for(reader, timeout=5) == ""


async def test_the_background_is_told_of_when_it_ends(bench: Bench) -> None:
    told = await bench.python("print(input())", background=True)
    assert told["status"] == "running"
    ident = told["sessionId"]
    await bench.process("submit", ident, data="the tide")
    event = await bench.ears.next()
    assert event.text.startswith("Exec finished (")
    assert event.text.endswith("): the tide")
    assert (event.context_key, event.trusted, event.source) == (f"exec:{ident}", False, "exec")
    assert event.session_key == "agent:main:main"
    assert (await bench.process("poll", ident))["status"] == "completed"
    assert await bench.database.read(lambda tx: meta.below(tx, "exec:")) == {}


async def test_a_wait_that_is_over_puts_it_behind(bench: Bench) -> None:
    told = await bench.python(f"print('begun'); {FOREVER}", yieldMs=1)
    assert told["status"] == "running"
    (line,) = (await bench.process("list"))["sessions"]
    assert (line["sessionId"], line["status"]) == (told["sessionId"], "running")


async def test_a_killed_one_that_said_nothing_is_no_news(bench: Bench) -> None:
    told = await bench.python(FOREVER, background=True)
    ended = await bench.process("kill", told["sessionId"])
    assert ended["status"] == "killed"
    await bench.room.idle()
    assert bench.ears.events.empty()
    action, detail = (await bench.record())[-1]
    assert action == "exec.ended"
    assert "said nothing" in detail["notTold"]


async def test_success_without_words_is_no_news_unless_it_is_asked_for(bench: Bench) -> None:
    await bench.exec("true", background=True)
    await bench.room.idle()
    assert bench.ears.events.empty()
    bench.rules = ExecRules(security="full", notify_quiet=True)
    await bench.exec("true", background=True)
    assert "without output" in (await bench.ears.next()).text


async def test_words_come_to_whoever_polls_and_stay_in_the_log(bench: Bench) -> None:
    told = await bench.python("print('one'); print(input()); print('end')", background=True)
    ident = told["sessionId"]
    await bench.process("write", ident, data="two\n", eof=True)
    await bench.room.idle()
    assert (await bench.process("poll", ident))["output"] == "one\ntwo\nend\n"
    assert (await bench.process("poll", ident))["output"] == ""
    assert (await bench.process("log", ident))["output"] == "one\ntwo\nend"
    with pytest.raises(ToolRefused, match="reads no more"):
        await bench.process("write", ident, data="more")
    await bench.process("remove", ident)
    assert (await bench.process("list"))["sessions"] == []


async def test_another_agent_sees_nothing_of_it(bench: Bench) -> None:
    told = await bench.python(FOREVER, background=True)
    bench.caller = Caller(
        agent_id="spy", session_key="agent:spy:main", run_id="r2", workspace=Path.cwd()
    )
    assert (await bench.process("list"))["sessions"] == []
    with pytest.raises(ToolRefused, match="you have no program"):
        await bench.process("kill", told["sessionId"])


async def test_a_turn_that_is_cancelled_takes_its_command_along(bench: Bench) -> None:
    begun = _pipe(bench.caller.workspace)
    asked = asyncio.create_task(bench.python(_begins(begun)))
    await asyncio.to_thread(begun.read_text)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.wait_for(bench.room.idle(), timeout=10)


async def test_every_order_is_on_record_without_its_secrets(bench: Bench) -> None:
    await bench.exec("echo sk-secret123456")
    bench.rules = ExecRules()
    with pytest.raises(ToolRefused, match="SYSTEM_RUN_DENIED"):
        await bench.exec("ls")
    (first, about), (second, why) = await bench.record()
    assert (first, second) == ("exec.started", "exec.refused")
    assert about["command"] == "echo ***"
    assert about["runId"] == "r1"
    assert "security is deny" in why["because"]


async def test_output_shaped_like_a_credential_is_masked(bench: Bench) -> None:
    assert (await bench.exec("echo sk-secret123456"))["output"] == "***\n"


async def test_an_end_nobody_can_be_told_of_is_on_record_with_the_reason(bench: Bench) -> None:
    bench.ears.refuses = True
    await bench.exec("echo done", background=True)
    await bench.room.idle()
    action, detail = (await bench.record())[-1]
    assert action == "exec.ended"
    assert "not configured" in detail["notTold"]


@pytest.mark.skipif(not Path("/proc").exists(), reason="nobody tells whose a process is")
async def test_what_a_dead_gateway_left_behind_is_ended_and_told(bench: Bench) -> None:
    begun = _pipe(bench.caller.workspace)
    argv = [sys.executable, "-c", _begins(begun)]
    env = {**os.environ, "ENGINE_EXEC_ID": "0001-orphan"}
    orphan = asyncio.create_task(run_process(argv, env=env, output_most=10))
    await asyncio.to_thread(begun.read_text)
    await bench.journal.background("0001-orphan", "big job", bench.caller, SystemClock().now())
    assert await bench.journal.settle(_main) == 1
    assert (await asyncio.wait_for(orphan, timeout=10)).code == -9
    (event,) = await _waiting(bench)
    assert event.text.startswith("Exec was interrupted (big job, 1-orphan)")
    assert "what was left of it has been ended" in event.text
    assert (event.wake, event.trusted) == ("now", False)


async def test_what_a_stop_ended_is_told_after_the_next_start(bench: Bench) -> None:
    await bench.python(FOREVER, background=True)
    await bench.room.stop()
    assert await bench.journal.settle(_main) == 1
    assert await bench.journal.settle(_main) == 0
    (event,) = await _waiting(bench)
    assert "the gateway stopped while it ran" in event.text


async def test_nobody_is_told_of_an_agent_that_is_gone_and_that_is_on_record(bench: Bench) -> None:
    await bench.journal.background("x1", "big job", bench.caller, SystemClock().now())
    await bench.journal.settle(lambda _agent: None)
    assert await _waiting(bench) == []
    action, detail = (await bench.record())[-1]
    assert (action, detail["notTold"]) == ("exec.lost", "its agent is not configured")


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "begun")
    return folder / "begun"


def _begins(pipe: Path) -> str:
    """A program that says it runs by opening the other end of a pipe, and runs for ever."""
    return f"open({str(pipe)!r}, 'w').close(); {FOREVER}"


def _main(agent_id: str) -> str:
    return f"agent:{agent_id}:main"


async def _waiting(bench: Bench) -> list[QueuedEvent]:
    now = SystemClock().now()
    return await bench.database.read(lambda tx: events.pending(tx, "main", _main("main"), now))


async def test_turns_that_were_ended_at_their_command_leave_room_for_the_next(bench: Bench) -> None:
    began = asyncio.Event()

    async def forever(*_: object, **__: object) -> Ended:
        began.set()
        return await asyncio.Future[Ended]()

    bench.room = Room(
        journal=bench.journal,
        clock=SystemClock(),
        rules=lambda: bench.rules,
        wakes=lambda: bench.ears,
        insist=_at_once,
        run_program=forever,
    )
    for _ in range(AT_ONCE):
        began.clear()
        turn = asyncio.create_task(bench.exec("forever"))
        await began.wait()
        turn.cancel()
        await asyncio.wait({turn})
        await bench.room.idle()
    assert (await bench.exec("forever", background=True))["status"] == "running"
