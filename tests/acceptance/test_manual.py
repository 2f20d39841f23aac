"""Every command the manual shows is typed: page by page, in order, in a home that is alive."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from engine.cli.app import run
from engine.cli.manual import pages
from tests.fakes.gateway_process import GatewayProcess
from tests.fakes.openclaw_home import openclaw_home
from tests.test_docs import calls_in_blocks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

CONFIG = """{
  gateway: { mode: "local", port: 0 },
  agents: { defaults: { heartbeat: { every: "30m", target: "last" } } },
}"""
# Reports end with 1 where something is not well; so does an import that left something behind.
REPORTS = {"why", "doctor", "status", "heartbeat explain", "cron audit", "cron doctor",
           "gateway status", "gateway probe", "security audit", "secrets audit",
           "import openclaw", "cron import", "cron export",
           "heartbeat slo"}  # fmt: skip
# A home nobody lives in, and no gateway: what these make or replace is whole.
ALONE = ("onboard", "setup", "import", "demo")
NOT_HERE = {"demo": "it is played by `make demo`, with a gateway of its own"}


class Reader:
    """Somebody who types what stands there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def type(self, words: list[str], home: Path, state: Path) -> None:
        for name in [name for name in os.environ if name.startswith("ENGINE_")]:
            self._monkeypatch.delenv(name)
        self._monkeypatch.setenv("HOME", str(home))
        self._monkeypatch.setenv("PATH", "/nowhere")
        if "--profile" not in words:
            self._monkeypatch.setenv("ENGINE_STATE_DIR", str(state))
        self._capfd.readouterr()
        status = run(words)
        told = self._capfd.readouterr()
        named = " ".join([word for word in words if not word.startswith("-")][:2])
        report = named in REPORTS or words[0] in REPORTS
        assert status == 0 or (report and status == 1), (words, status, told.out, told.err)


@contextmanager
def alive(home: Path) -> Iterator[None]:
    """A gateway on this home, in a process of its own."""
    ready, leave = Event(), Event()

    async def serve() -> None:
        process = GatewayProcess(home, CONFIG)
        try:
            assert await process.start() is None, process.said.decode()
            ready.set()
            await asyncio.to_thread(leave.wait)
        finally:
            await process.stop()

    thread = Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        assert ready.wait(30), "the gateway did not start"
        yield
    finally:
        leave.set()
        thread.join(30)


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    state = tmp_path_factory.mktemp("living")
    with alive(state):
        yield state


@pytest.mark.parametrize("topic", pages.TOPICS)
def test_what_a_page_shows_can_be_typed(
    topic: str,
    living: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    reader = Reader(monkeypatch, capfd)
    openclaw_home(tmp_path / ".openclaw")
    for words in calls_in_blocks(pages.page(topic)):
        if words[0] in NOT_HERE:
            continue
        if words[0] not in ALONE:
            reader.type(words, tmp_path, living)
            continue
        state = tmp_path / "alone"
        shutil.rmtree(state, ignore_errors=True)
        extra = ["--no-start"] if words[0] == "onboard" else []
        reader.type([*words, *extra], tmp_path, state)


def test_what_is_shown_is_read_as_words() -> None:
    shown = [*calls_in_blocks(pages.page("cron"))]
    assert shlex.split('cron add "every weekday at 9" "Sum up the night"') in shown
    assert len(shown) > 10
