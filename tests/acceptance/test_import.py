"""Jobs of another engine brought into a home: while its gateway runs, and while it does not."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway_process import GatewayProcess, gateway

pytestmark = pytest.mark.acceptance

FILES = Path(__file__).parents[1] / "fixtures" / "import"
CONFIG = "{gateway: {mode: 'local', port: 0}, agents: {defaults: {heartbeat: {every: '0m'}}}}"
BRIEF = "7f9c2a10-0b1d-4c55-9d5a-3f6f0a1b2c3d"


async def engine(process: GatewayProcess, *words: str) -> tuple[int, dict[str, Any]]:
    """Run one command line in a process of its own; it prints JSON."""
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "engine", *words, "--json"),
        env=process.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await run.communicate()
    assert run.returncode is not None
    assert out, err.decode()
    return run.returncode, json.loads(out)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """OpenClaw's `cron/` as it lies there, and nobody may write into it."""
    return Path(shutil.copytree(FILES / "openclaw", tmp_path / "openclaw"))


@pytest.mark.timeout(60)
async def test_jobs_and_their_history_come_over_while_the_gateway_runs(
    tmp_path: Path, source: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with gateway(home, CONFIG) as process:
        assert await process.start() is None
        status, told = await engine(process, "cron", "import", str(source), "--from", "openclaw")
        assert status == 1  # one of them has a schedule nobody has here
        assert told["counts"] == {"add": 5, "update": 0, "unchanged": 0, "refused": 0, "runs": 3}
        job = await process.call("cron.get", {"id": BRIEF})
        assert job["source"] == "import"
        assert job["nextRunAtMs"] is not None
        assert job["state"]["lastRunStatus"] == "error"
        runs = await process.call("cron.runs", {"id": BRIEF})
        assert [entry["status"] for entry in runs["entries"]] == ["error", "skipped", "ok"]
        _, again = await engine(process, "cron", "import", str(source), "--from", "openclaw")
        assert again["counts"]["unchanged"] == 5
        assert again["counts"]["runs"] == 0


@pytest.mark.timeout(60)
async def test_jobs_that_came_while_no_gateway_ran_are_due_once_it_does(
    tmp_path: Path, source: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    async with gateway(home, CONFIG) as process:
        _, told = await engine(process, "cron", "import", str(source), "--from", "openclaw")
        assert told["counts"]["add"] == 5
        assert await process.start() is None
        listed = await process.call("cron.list", {"includeDisabled": True})
        assert listed["total"] == 5
        assert all(job["nextRunAtMs"] for job in listed["jobs"] if job["enabled"])
        _, document = await engine(process, "cron", "export")
        assert {job["id"] for job in document["jobs"]} == {job["id"] for job in listed["jobs"]}
