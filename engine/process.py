"""One program run to its end: a process group of its own, bounded output, no survivors.

The whole group is ended when the caller is cancelled, when the program is silent for too
long, when it says too much (unless the rest is to be dropped), and when it leaves children
behind that hold its pipes. No shell. Whoever wants to talk with a program while it runs hands
in an ear and a mouth.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

RUN_MARK: Final = "ENGINE_RUN_ID"  # in the environment of every program of a run

_CHUNK: Final = 65_536
_LAST_WORDS: Final = timedelta(seconds=5)  # for a killed group's pipes to close


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended. A negative ``code`` is the signal that ended it."""

    code: int
    out: bytes
    err: bytes
    silent: bool = False  # said nothing for longer than it may
    too_long: bool = False  # said more than it may; what is here is the beginning


Hear = Callable[[bytes], None]
Say = asyncio.Queue[bytes | None]  # None: there will be no more


class RunProgram(Protocol):
    """How a program is run: by `run`, or by a pretence of it."""

    async def __call__(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str | Path | None = None,
        env: Mapping[str, str],
        no_output_timeout: timedelta | None = None,
        output_most: int,
        drop_rest: bool,
        hear: Hear | None = None,
        say: Say | None = None,
    ) -> Ended:
        """Run a program to its end. Raises `OSError` if it cannot be started."""


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    cwd: str | Path | None = None,
    env: Mapping[str, str],
    no_output_timeout: timedelta | None = None,
    output_most: int,
    drop_rest: bool = False,
    hear: Hear | None = None,
    say: Say | None = None,
) -> Ended:
    """Run a program and return how it ended. Raises `OSError` if it cannot be started.

    Past ``output_most`` bytes it is ended, or with ``drop_rest`` only no longer listened to.
    ``hear`` is handed everything it says, as it says it; ``say`` is what it is told while it runs.
    """
    seconds = no_output_timeout.total_seconds() if no_output_timeout else None
    feed = bool(stdin) or say is not None
    async with _process(argv, cwd, env, feed=feed) as (process, exited):
        silent, code, talk = False, 0, None
        try:
            async with asyncio.timeout(seconds) as watchdog:
                talk = _Talk(process, exited, watchdog, seconds, output_most, drop_rest, hear)
                code = await talk.listen(stdin, say)
        except TimeoutError:
            silent = True
        if talk is None:
            raise AssertionError("a program ended before it was listened to")
        return Ended(
            code=code,
            out=bytes(talk.out),
            err=bytes(talk.err),
            silent=silent,
            too_long=talk.too_long,
        )


def unstarted(error: OSError, program: str, cwd: str | Path | None) -> str:
    """Say what could not be started: the program, or its directory entered.

    Event loops do not agree on whether the error names its file, so the directory is looked at.
    """
    if cwd is not None and not Path(cwd).is_dir():
        return f"the directory {str(cwd)!r} cannot be entered: {error.strerror}"
    return f"{program!r} cannot be started: {error.strerror}"


@contextlib.asynccontextmanager
async def _process(
    argv: Sequence[str], cwd: str | Path | None, env: Mapping[str, str], *, feed: bool
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.Event]]:
    loop = asyncio.get_running_loop()
    starting = asyncio.ensure_future(
        loop.subprocess_exec(
            lambda: _Watch(limit=_CHUNK, loop=loop),
            *argv,
            stdin=asyncio.subprocess.PIPE if feed else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
    )
    try:
        transport, watch = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # A loop that is interrupted here ends the program's shell, not its children, and may
        # wait for its pipes for ever.
        transport, watch = await starting
        await _bury(asyncio.subprocess.Process(transport, watch, loop), transport)
        raise
    process = asyncio.subprocess.Process(transport, watch, loop)
    try:
        yield process, watch.exited
    finally:
        await _bury(process, transport)


async def _bury(
    process: asyncio.subprocess.Process, transport: asyncio.SubprocessTransport
) -> None:
    _end(process)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORDS.total_seconds()):
            await asyncio.shield(process.wait())
    transport.close()  # pipes nobody reads any more


class _Watch(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells when the program itself has ended; `wait` also waits for its children's pipes."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit, loop)
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        self.exited.set()
        super().process_exited()


class _Talk:
    """Feeds one process and listens to it until it ends."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        exited: asyncio.Event,
        watchdog: asyncio.Timeout,
        seconds: float | None,
        most: int,
        drop_rest: bool,
        hear: Hear | None,
    ) -> None:
        self._process = process
        self._exited = exited
        self._watchdog = watchdog
        self._seconds = seconds
        self._most = most
        self._drop_rest = drop_rest
        self._hear = hear
        self.out = bytearray()
        self.err = bytearray()
        self.too_long = False

    async def listen(self, stdin: bytes, say: Say | None) -> int:
        """Return the exit status once everything it said is here."""
        process = self._process
        async with asyncio.TaskGroup() as group:
            feeder = group.create_task(_feed(process, stdin, say), name="program-stdin")
            readers = [
                group.create_task(self._collect(stream, into), name="program-output")
                for stream, into in ((process.stdout, self.out), (process.stderr, self.err))
            ]
            await self._exited.wait()
            # Children it left behind hold the pipes: without this the turn never ends.
            _end(process)
            await asyncio.wait(readers, timeout=_LAST_WORDS.total_seconds())
            for task in (feeder, *readers):
                task.cancel()
        return process.returncode or 0

    async def _collect(self, stream: asyncio.StreamReader | None, into: bytearray) -> None:
        while stream is not None and (chunk := await stream.read(_CHUNK)):
            if self._seconds is not None and not self._watchdog.expired():
                self._watchdog.reschedule(asyncio.get_running_loop().time() + self._seconds)
            if self._hear is not None:
                self._hear(chunk)
            room = self._most - len(into)
            into += chunk[:room]
            if len(chunk) > room:
                self.too_long = True
                if not self._drop_rest:
                    _end(self._process)
                    return


async def _feed(process: asyncio.subprocess.Process, data: bytes, say: Say | None) -> None:
    # A program that does not read its input ends this early; its answer still counts.
    if process.stdin is None or process.stdin.is_closing():
        return
    more: bytes | None = data
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while more is not None:
            process.stdin.write(more)
            await process.stdin.drain()
            more = None if say is None else await say.get()
    process.stdin.close()


def end_marked(*marks: str) -> int:
    """Kill every program on this host whose environment holds one of them; returns how many.

    For what a killed gateway left behind. A host without /proc tells of none.
    """
    wanted, ended = {mark.encode() for mark in marks}, 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) == os.getpid():
                continue  # a gateway that a program of a run started carries its mark
            if not wanted.isdisjoint((entry / "environ").read_bytes().split(b"\0")):
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
    return ended


def end_children() -> None:
    """Kill every group this process leads into being: it ends at once and can wait for none.

    A host without /proc tells of none.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            # Behind the name, which may hold anything: state, parent, group (proc(5)).
            facts = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            if int(facts[1]) == os.getpid() and int(facts[2]) != os.getpgrp():
                os.killpg(int(facts[2]), signal.SIGKILL)


def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the whole group; nobody may outlive the turn."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
