"""Nobody has to guess why a gateway is gone: real processes (operations.md §7.3, §16 L2)."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from gateway import exits
from gateway.exits import Reason
from tests.fakes.gateway_process import gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]

LOCAL = '{ gateway: { mode: "local" } }'


def last(home: Path) -> tuple[Reason, int | None]:
    found = exits.read(home)
    assert found is not None
    return found.reason, found.code


async def test_five_ends_have_five_sentences(tmp_path: Path) -> None:
    said = set()
    async with gateway(tmp_path, LOCAL) as engine:
        await engine.start()
        assert await engine.stop(signal.SIGTERM) == 0
        assert last(tmp_path) == (Reason.SIGTERM, 0)
        said.add(exits.read(tmp_path))

        await engine.start()
        await engine.stop(signal.SIGKILL)
        assert last(tmp_path) == (Reason.UNCLEAN, None)
        said.add(exits.read(tmp_path))

        with socket.create_server(("127.0.0.1", 0)) as taken:
            await engine.start("gateway", "--port", str(taken.getsockname()[1]))
        assert last(tmp_path) == (Reason.PORT_BUSY, 78)
        said.add(exits.read(tmp_path))

        (tmp_path / "engine.json").write_text("{ gateway: { mod: 1 } }")
        (tmp_path / "engine.json.last-good").unlink()  # else that one would be taken
        await engine.start()
        assert last(tmp_path) == (Reason.CONFIG_INVALID, 78)
        said.add(exits.read(tmp_path))

        (tmp_path / "engine.json").write_text(LOCAL)
        await engine.start()
        exits.request_stop(tmp_path, "engine gateway stop")
        assert await engine.stop(signal.SIGTERM) == 0
        assert last(tmp_path) == (Reason.STOP_COMMAND, 0)
        said.add(exits.read(tmp_path))
    assert len({one.sentence.partition(" (uptime")[0] for one in said if one is not None}) == 5
