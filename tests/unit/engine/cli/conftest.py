"""A home of its own for every test of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.cli.app import run
from tests.fakes.gateway_port import TOKEN, Port
from tests.fakes.gateway_thread import running


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str


Engine = Callable[..., Answer]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory; nothing of this shell gets through."""
    for name in ("URL", "TOKEN", "PASSWORD", "PORT"):
        monkeypatch.delenv(f"ENGINE_GATEWAY_{name}", raising=False)
    for name in ("ENGINE_STATE_DIR", "ENGINE_CONFIG_PATH", "ENGINE_PROFILE", "ENGINE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / ".engine").mkdir()
    return tmp_path


@pytest.fixture
def engine(home: Path, capsys: pytest.CaptureFixture[str]) -> Engine:
    """Run one command line."""

    def call(*words: object) -> Answer:
        capsys.readouterr()
        status = run([str(word) for word in words])
        printed = capsys.readouterr()
        return Answer(status, printed.out, printed.err)

    return call


@pytest.fixture
def gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Port]:
    """A running gateway whose port and token this home knows."""
    with running() as port:
        monkeypatch.setenv("ENGINE_GATEWAY_PORT", str(port.server.port))
        (home / ".engine" / "gateway.token").write_text(f"{TOKEN}\n")
        yield port


@pytest.fixture
def nobody(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nothing listens."""
    monkeypatch.setenv("ENGINE_GATEWAY_PORT", "1")
