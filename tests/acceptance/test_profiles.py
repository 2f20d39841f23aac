"""Several gateways on one host: real ones, each in a home of its own (operations.md §2.1)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import lock
from tests.fakes.gateway_process import gateway

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]

LOCAL = '{ gateway: { mode: "local" } }'


async def test_two_profiles_run_side_by_side_and_never_share_a_port(tmp_path: Path) -> None:
    homes = [tmp_path / name for name in (".engine-work", ".engine-rescue")]
    for home in homes:
        home.mkdir()
    async with gateway(homes[0], LOCAL) as work, gateway(homes[1], LOCAL) as rescue:
        await work.start("--profile", "work", "gateway", "--port", "0", HOME=str(tmp_path))
        held = lock.read(homes[0])
        assert held is not None
        taken = ("--profile", "rescue", "gateway", "--port", str(held.port))
        assert await rescue.start(*taken, HOME=str(tmp_path)) == 78
        wanted = (
            rf"another gateway instance is already listening on {re.escape(held.url)} "
            rf"\(pid {held.pid}, profile work, since \d\d:\d\d:\d\d\)\n"
        )
        assert re.search(wanted, rescue.said.decode()), rescue.said
        await rescue.start("--profile", "rescue", "gateway", "--port", "0", HOME=str(tmp_path))
        assert (await work.call("health"))["ok"]
        assert (await rescue.call("health"))["ok"]
        assert work.token != rescue.token
        assert await work.stop() == 0
        assert (await rescue.call("health"))["ok"], "the other one lives on"
