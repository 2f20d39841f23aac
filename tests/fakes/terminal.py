"""A person at a real pseudo-terminal: reads what is asked, types what is answered."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """One command line on a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self._news = asyncio.Event()
        self._read_to = 0
        self.seen = ""

    async def asks(self, words: str, within: float = 20) -> None:
        """Wait until it shows these words, after those waited for before."""
        try:
            async with asyncio.timeout(within):
                while words not in self.seen[self._read_to :]:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{words!r} did not come:\n{self.seen}") from None
        self._read_to = self.seen.index(words, self._read_to) + len(words)

    async def answer(self, question: str, line: str = "") -> None:
        """Wait for a question and type a line."""
        await self.asks(question)
        self.type(f"{line}\n")

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._master, keys.encode())

    async def ended(self, within: float = 40) -> int:
        """Wait for the end; its exit status."""
        async with asyncio.timeout(within):
            return await self._process.wait()

    async def gives_up(self, presses: int = 5) -> int:
        """Press Ctrl-C, and again while nothing happens, as people do; its exit status.

        One press may come between readline's look at signals and its wait for keys: it is
        heard with the next key.
        """
        for _ in range(presses - 1):
            self.type("\x03")
            with suppress(TimeoutError):
                return await self.ended(within=5)
        self.type("\x03")
        return await self.ended()

    def hear(self) -> None:
        """Take what it has written."""
        try:
            raw = os.read(self._master, 65_536)
        except OSError:  # the other side has gone
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self.seen += _COLOURS.sub("", raw.decode("utf-8", "replace")).replace("\r", "")
        self._news.set()


@asynccontextmanager
async def terminal(*words: str, environ: Mapping[str, str]) -> AsyncIterator[Terminal]:
    """Run `engine` with these words on a terminal; it is gone on leaving."""
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "engine", *words),
        env={**environ, "TERM": "xterm", "NO_COLOR": "1"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
    )
    os.close(slave)
    person = Terminal(process, master)
    loop = asyncio.get_running_loop()
    loop.add_reader(master, person.hear)
    try:
        yield person
    finally:
        loop.remove_reader(master)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)
