"""The one room of programs agents run: started under rules, listened to, their end told.

A program is a process group of its own (`engine.process`). One that goes to the background is
written down first, so that after a crash its agent hears that it was interrupted; its end
becomes a system event in the transaction that forgets it. What it said is in memory only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from engine import process
from engine.agents.base import ToolRefused
from engine.agents.secrets import masked
from engine.agents.tools.exec import Caller, ExecOrder
from engine.clock import Clock
from engine.decisions.wake import NOW, Intent, NewEvent
from engine.process import RunProgram
from engine.programs import words
from engine.programs.journal import Journal
from engine.programs.output import Said
from engine.programs.rules import DENIED, Ask, Denied, ExecRules, environment, judge, search_path
from engine.programs.words import End
from engine.sessions import origin_of
from jobs.errors import EngineError
from jobs.ids import new_id
from jobs.store.db import Tx

log = logging.getLogger(__name__)

AT_ONCE: Final = 16  # programs of one agent
_UNSTARTED: Final = 127  # what a shell says of a command that is not there


class Wakes(Protocol):
    """Takes events for agents: `engine.beats.waking.Waking`."""

    async def system_event(
        self, event: NewEvent, *, also: Callable[[Tx], None] | None = None
    ) -> Mapping[str, Any]:
        """Queue an event, in one transaction with ``also``, and wake its agent."""


@dataclass(slots=True, eq=False)
class _Program:
    """One program, running or ended."""

    id: str
    name: str
    caller: Caller
    said: Said
    rules: ExecRules  # of its start
    started_at: datetime
    mouth: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    deaf: bool = False  # its input has been closed
    behind: bool = False  # in the background
    noted: asyncio.Event = field(default_factory=asyncio.Event)
    limit: asyncio.Timeout | None = None
    killed: bool = False
    ended_at: datetime | None = None
    end: End | None = None
    task: asyncio.Task[None] | None = None


class Room:
    """Runs the programs of all agents. `stop` ends them; `Journal.settle` tells of the lost."""

    def __init__(
        self,
        *,
        journal: Journal,
        clock: Clock,
        rules: Callable[[], ExecRules],
        wakes: Callable[[], Wakes],
        insist: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]],
        run_program: RunProgram | None = None,
        ask: Callable[[ExecOrder, str], Awaitable[str]] | None = None,
    ) -> None:
        self._ask = ask  # a person; None: there is nobody
        self._journal = journal
        self._clock = clock
        self._rules = rules
        self._wakes = wakes
        self._insist = insist
        self._run_program: RunProgram = run_program or process.run
        self._programs: dict[str, _Program] = {}

    # -- exec ----------------------------------------------------------------------------

    async def execute(self, order: ExecOrder, *, approved: bool = False) -> Mapping[str, Any]:
        """Run a command; returns when it has ended, or has gone to the background.

        ``approved``: a person allowed it, and nobody is asked any more.
        """
        self._sweep()
        rules, caller = self._rules(), order.caller
        made = _Program(
            id=new_id(self._clock.now()),
            name=words.name_of(masked(order.command)),
            caller=caller,
            said=Said(rules.output_most, rules.unread_most),
            rules=rules,
            started_at=self._clock.now(),
        )
        argv, cwd = await self._admitted(made, order, approved=approved)
        made.task = asyncio.create_task(self._run(made, argv, cwd, order), name=f"exec {made.id}")
        self._programs[made.id] = made
        waits = rules.background_after if order.yield_after is None else order.yield_after
        try:
            if waits:
                await asyncio.wait({made.task}, timeout=waits.total_seconds())
            if made.end is None:
                made.behind = True
                await self._journal.background(made.id, made.name, caller, made.started_at)
                made.noted.set()
        except BaseException:
            made.task.cancel()  # its turn is over, and nobody knows of it
            made.task.add_done_callback(lambda _: self._programs.pop(made.id, None))
            raise
        if made.end is not None and not made.behind:
            del self._programs[made.id]
            return _ended(made.end, made.said.text)
        return {"status": "running", "sessionId": made.id, "tail": masked(made.said.unread())}

    async def _admitted(
        self, made: _Program, order: ExecOrder, *, approved: bool
    ) -> tuple[tuple[str, ...], Path]:
        """Return what to run and where, or refuse; both are on record."""
        path = search_path(os.environ, made.rules)
        verdict = judge(
            order.command,
            made.rules,
            which=lambda name: shutil.which(name, path=path),
            env=order.env,
            sandbox=order.caller.sandbox,
            outside=order.outside,
            approved=approved,
        )
        running = [one for one in self._own(order.caller) if one.end is None]
        try:
            if isinstance(verdict, Denied):
                raise ToolRefused(verdict.because)
            if isinstance(verdict, Ask):
                raise ToolRefused(await self._asked(order, verdict.because))
            if len(running) >= AT_ONCE:
                raise ToolRefused(f"you have {len(running)} programs running; the most is that")
            cwd = await asyncio.to_thread(_folder, order, made.rules)
        except ToolRefused as refusal:
            await self._journal.refused(made.name, order.caller, str(refusal))
            raise
        await self._journal.started(made.id, made.name, order.caller, cwd)
        return verdict.argv, cwd

    async def _asked(self, order: ExecOrder, because: str) -> str:
        if self._ask is None:
            return f"{DENIED}: approval required, and there is nobody to ask: {because}"
        await asyncio.to_thread(_folder, order, self._rules())  # one that cannot run is not asked
        return f"{DENIED}: approval required: {await self._ask(order, because)}"

    async def _run(
        self, made: _Program, argv: tuple[str, ...], cwd: Path, order: ExecOrder
    ) -> None:
        span = made.rules.timeout if order.timeout is None else order.timeout
        code, why, cut = 0, "", False
        try:
            async with asyncio.timeout(span.total_seconds() or None) as made.limit:
                if made.killed:
                    _cut(made.limit)  # before it had begun
                ran = await self._run_program(
                    argv,
                    cwd=cwd,
                    env=environment(os.environ, made.rules, order.env, made.id),
                    output_most=0,
                    drop_rest=True,
                    hear=made.said.hear,
                    say=made.mouth,
                )
                code = ran.code
        except TimeoutError:
            code, cut = -signal.SIGKILL, True
        except OSError as error:
            code, why = _UNSTARTED, process.unstarted(error, argv[0], cwd)
        made.ended_at = self._clock.now()
        made.end = End(
            code=code,
            took=made.ended_at - made.started_at,
            said=masked(why or made.said.text.strip()),
            timed_out=cut and not made.killed,
            killed=made.killed,
        )
        if made.behind:
            await made.noted.wait()
            await self._tell(made, made.end)

    async def _tell(self, made: _Program, end: End) -> None:
        """Queue the event of an end and forget the program, in one transaction."""
        rules, caller = self._rules(), made.caller
        silent = words.unheard(end, notify=rules.notify, quiet_too=rules.notify_quiet)
        forget = self._journal.ended(made.id, made.name, caller, end.how, silent)
        if silent:
            await self._insist(lambda: self._journal.write(forget))
            return
        event = NewEvent(
            text=words.ended(made.name, made.id, end),
            mode=NOW,
            source="exec",
            by=f"the end of: {made.name}",
            agent_id=caller.agent_id,
            session_key=origin_of(caller.session_key),
            context_key=f"exec:{made.id}",
            route=caller.route,
            trusted=False,
            intent=Intent.EVENT,
        )
        try:
            await self._insist(lambda: self._wakes().system_event(event, also=forget))
        except EngineError as error:  # its agent is gone from the config
            log.warning("nobody can be told of a command's end", extra={"because": str(error)})
            unheard = self._journal.ended(made.id, made.name, caller, end.how, str(error))
            await self._insist(lambda: self._journal.write(unheard))

    # -- process -------------------------------------------------------------------------

    async def act(
        self, caller: Caller, action: str, ident: str, arguments: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Do one action of `process` with a program of the caller's agent."""
        self._sweep()
        if action == "list":
            now = self._clock.now()
            return {"sessions": [_line(one, now) for one in self._own(caller) if one.behind]}
        made = next((one for one in self._own(caller) if one.id == ident and one.behind), None)
        if made is None:
            raise ToolRefused(f"you have no program {ident[:40]!r}; see action list")
        match action:
            case "poll":
                return {**_state(made), "output": masked(made.said.unread())}
            case "log":
                page = made.said.page(arguments.get("offset"), arguments.get("limit"))
                return {**_state(made), "output": masked(page)}
            case "clear":
                made.said.clear()
            case "remove":
                await self._kill(made)
                self._programs.pop(made.id, None)
            case "kill":
                await self._kill(made)
            case _:
                _say(made, arguments, line=action == "submit")
        return _state(made)

    async def _kill(self, made: _Program) -> None:
        """End a program's whole group; the end is told like any other."""
        if made.end is None and (made.limit is None or not made.limit.expired()):
            made.killed = True
            _cut(made.limit)
        if made.end is None and made.task is not None:
            await asyncio.wait({made.task})

    def _own(self, caller: Caller) -> list[_Program]:
        return [one for one in self._programs.values() if one.caller.agent_id == caller.agent_id]

    def _sweep(self) -> None:
        """Forget programs that ended long ago."""
        edge = self._clock.now() - self._rules().keep_for
        for one in tuple(self._programs.values()):
            if one.ended_at is not None and one.ended_at <= edge:
                del self._programs[one.id]

    # -- life ----------------------------------------------------------------------------

    @property
    def going(self) -> tuple[str, ...]:
        """Names of the programs that run."""
        return tuple(one.name for one in self._programs.values() if one.end is None)

    async def idle(self) -> None:
        """Return when no program runs any more and every end is told."""
        while tasks := [one.task for one in self._programs.values() if one.task]:
            if all(task.done() for task in tasks):
                return
            await asyncio.wait(tasks)

    async def stop(self) -> None:
        """End every program; the next start tells their agents."""
        tasks = [one.task for one in self._programs.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _cut(limit: asyncio.Timeout | None) -> None:
    """Let a time limit be over now."""
    if limit is not None:
        limit.reschedule(asyncio.get_running_loop().time())


def _folder(order: ExecOrder, rules: ExecRules) -> Path:
    """Return the folder a program starts in: the workspace, or one of it."""
    root = order.caller.workspace.resolve()
    path = (root / (order.workdir or ".")).resolve()
    if rules.workspace_only and not path.is_relative_to(root):
        raise ToolRefused(f"workdir {order.workdir!r} is outside the workspace")
    if path == root:
        root.mkdir(parents=True, exist_ok=True)
    if not path.is_dir():
        raise ToolRefused(f"there is no folder {order.workdir or str(root)!r}")
    return path


def _say(made: _Program, arguments: Mapping[str, Any], *, line: bool) -> None:
    if made.end is not None or made.deaf:
        raise ToolRefused("it reads no more: its input was closed, or it has ended")
    data = str(arguments.get("data", "")) + ("\n" if line else "")
    if data:
        made.mouth.put_nowait(data.encode())
    if arguments.get("eof"):
        made.deaf = True
        made.mouth.put_nowait(None)


def _ended(end: End, said: str) -> dict[str, Any]:
    return {
        "status": "completed" if end.succeeded else "failed",
        "exitCode": end.code,
        **({"timedOut": True} if end.timed_out else {}),
        "durationMs": round(end.took.total_seconds() * 1000),
        "output": masked(said) or end.said,
    }


def _state(made: _Program) -> dict[str, Any]:
    end = made.end
    if end is None:
        return {"sessionId": made.id, "status": "running"}
    status = "completed" if end.succeeded else "killed" if end.killed else "failed"
    return {"sessionId": made.id, "status": status, "exitCode": end.code}


def _line(made: _Program, now: datetime) -> dict[str, Any]:
    until = made.ended_at or now
    seconds = round((until - made.started_at).total_seconds())
    return {**_state(made), "name": made.name, "runtimeSeconds": seconds}
