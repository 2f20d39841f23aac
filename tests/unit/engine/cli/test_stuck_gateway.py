"""A gateway that is stuck takes connections and greets nobody (operations.md §9.5, §10)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.unit.engine.cli.conftest import Engine


class Stuck:
    """Takes every connection as the kernel does for a stopped process, and says nothing."""

    def __init__(self, heard: socket.socket) -> None:
        self.port: int = heard.getsockname()[1]
        self.taken: list[socket.socket] = []
        self._heard = heard
        Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        while True:
            try:
                self.taken.append(self._heard.accept()[0])
            except OSError:
                return


@pytest.fixture
def stuck(home: Path) -> Iterator[Stuck]:
    with socket.create_server(("127.0.0.1", 0)) as heard:
        found = Stuck(heard)
        text = f"{{ gateway: {{ mode: 'local', port: {found.port} }} }}"
        (home / ".engine" / "engine.json").write_text(text)
        yield found
        for one in found.taken:
            one.close()
        heard.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("words", [("status", "--all"), ("why",), ("doctor",)])
def test_what_tells_how_the_engine_stands_waits_for_one_greeting(
    engine: Engine, stuck: Stuck, words: tuple[str, ...]
) -> None:
    """Eight times two seconds were sixteen; `engine why` waited half a minute."""
    told = engine(*words)
    assert "did not answer" in told.out or "does not answer" in told.out
    assert len(stuck.taken) == 1


def test_health_of_one_that_is_stuck_ends_with_five(engine: Engine, stuck: Stuck) -> None:
    told = engine("health", "--timeout", "200")
    assert told.status == 5
    assert "the gateway did not answer" in told.err


def test_who_gives_a_time_waits_as_long_for_the_greeting(engine: Engine, stuck: Stuck) -> None:
    assert engine("status", "--timeout", "100").status == 5
