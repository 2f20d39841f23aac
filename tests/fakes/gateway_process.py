"""A real gateway in a process of its own, on a free loopback port, that a test may kill."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from gateway import lock
from gateway.client import call

READY = b"gateway ready"
ROOT = Path(__file__).parents[2]


class GatewayProcess:
    """One home; the process may be started, killed and started again."""

    def __init__(self, home: Path, config: str) -> None:
        self.home = home
        self.said = b""
        self._news = asyncio.Condition()
        (home / "engine.json").write_text(config, encoding="utf-8")
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None

    @property
    def environ(self) -> dict[str, str]:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("ENGINE_")}
        return {**ours, "ENGINE_STATE_DIR": str(self.home), "PYTHONPATH": str(ROOT)}

    @property
    def url(self) -> str:
        owner = lock.read(self.home)
        assert owner is not None
        return owner.url

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def token(self) -> str:
        return (self.home / "gateway.token").read_text("utf-8").strip()

    def checklist(self, text: str) -> None:
        workspace = self.home / "workspace"
        workspace.mkdir(exist_ok=True)
        (workspace / "HEARTBEAT.md").write_text(text, encoding="utf-8")

    async def start(self, *arguments: str, **environ: str) -> int | None:
        """Start it; returns None once it is ready, or its exit status if it refuses."""
        words = arguments or ("gateway", "--port", "0")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "engine",
            *words,
            env={**self.environ, **environ},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said += line
            if READY in line:
                self._listener = asyncio.create_task(self._listen(self._process))
                return None
        return await self._process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.said += line
            async with self._news:
                self._news.notify_all()

    async def says(self, words: str, times: int = 1, within: float = 10) -> None:
        """Wait until it has said these words so often."""
        async with asyncio.timeout(within), self._news:
            await self._news.wait_for(lambda: self.said.count(words.encode()) >= times)

    async def ended(self) -> int:
        """Wait for the process to end by itself."""
        assert self._process is not None
        if self._listener is not None:
            await self._listener
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal that does not end it."""
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self.ended()

    async def cut(self) -> None:
        """Kill it, ready or not, without waiting for its last words."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> Any:
        """One RPC call as the command line makes it."""
        return await asyncio.to_thread(
            call, method, params, url=self.url, token=self.token, timeout=timedelta(seconds=15)
        )

    async def tell(self, text: str) -> Mapping[str, Any]:
        """`engine system event --mode now`, waiting for the outcome."""
        params = {"mode": "now", "text": text, "wait": True, "timeoutMs": 10_000}
        answer: Mapping[str, Any] = await self.call("wake", params)
        return answer

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the database as it lies on the disk."""
        with closing(sqlite3.connect(self.home / "state.db")) as database:
            return database.execute(sql).fetchall()


def saved(file: Path, text: str) -> None:
    """Write a file as editors do: at no moment is it half there."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


@asynccontextmanager
async def gateway(home: Path, config: str) -> AsyncIterator[GatewayProcess]:
    """A gateway that is gone when the block ends."""
    process = GatewayProcess(home, config)
    try:
        yield process
    finally:
        if process._process is not None:
            await process.stop(signal.SIGKILL)
