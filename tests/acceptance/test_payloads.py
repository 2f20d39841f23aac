"""What a job does, for real: a program with everything it is given, and a turn as it was ordered.

cron.md §1.1 and §8.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway_process import GatewayProcess, gateway
from tests.fakes.openai_server import KEY, OpenAIServer, Plan, unknown_model

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]

NEVER = {"kind": "every", "everyMs": 86_400_000}


async def ran(engine: GatewayProcess, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Add a job, run it once by hand and return its entry of the log."""
    job = {"name": "j", "schedule": NEVER, "payload": payload, "delivery": {"mode": "none"}}
    added = await engine.call("cron.add", job)
    run = await engine.call("cron.run", {"id": added["id"]})
    async with asyncio.timeout(20):
        while True:
            asked = {"id": added["id"], "runId": run["runId"]}
            for entry in (await engine.call("cron.runs", asked))["entries"]:
                if entry["action"] == "finished":
                    return dict(entry)


def command(script: str, **more: Any) -> dict[str, Any]:
    return {"kind": "command", "argv": ["sh", "-c", script], **more}


def alive(pid: str) -> bool:
    """Whether a process runs; a dead one may wait for whoever adopted it to reap it."""
    ps = ["ps", "-o", "stat=", "-p", pid]
    state = subprocess.run(ps, capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


async def test_a_program_gets_what_the_job_says_and_no_more_than_it_may_have(
    tmp_path: Path,
) -> None:
    home, work, left = tmp_path / "home", tmp_path / "work", tmp_path / "pid"
    home.mkdir()
    work.mkdir()
    async with gateway(home, "{ gateway: { mode: 'local' } }") as engine:
        await engine.start()
        told = command('pwd; echo "$WHO"; cat', cwd=str(work), env={"WHO": "ana"}, input="in")
        entry = await ran(engine, told)
        assert (entry["status"], entry["summary"]) == ("ok", f"{work}\nana\nin")
        both = await ran(engine, command("echo out; echo err >&2"))
        assert both["summary"] == "stdout:\nout\n\nstderr:\nerr"
        failed = await ran(engine, command("echo why >&2; exit 3"))
        assert (failed["status"], failed["error"]) == ("error", "exit status 3: why")
        chatty = await ran(engine, command("yes | head -c 90000", outputMaxBytes=50))
        assert chatty["status"] == "ok"
        assert len(chatty["summary"]) < 200
        mute = await ran(engine, command("echo a; exec sleep 60", noOutputTimeoutSeconds=0.2))
        assert (mute["status"], mute["error"]) == ("error", "no output for too long; ended")
        group = f"sleep 60 & echo $! > {left}; wait"
        late = await ran(engine, command(group, timeoutSeconds=0.5))
        assert (late["status"], late["error"]) == ("error", "cron: job execution timed out")
        assert not alive(left.read_text().strip())
        await engine.stop()


async def test_a_turn_asks_the_models_the_job_names_and_offers_the_tools_it_allows(
    tmp_path: Path,
) -> None:
    async with OpenAIServer(*[unknown_model()] * 4, Plan(text="done")) as server:
        provider = {"baseUrl": server.base_url, "apiKey": KEY}
        config = {
            "gateway": {"mode": "local"},
            "agents": {"defaults": {"model": {"primary": "f/usual", "fallbacks": ["f/spare"]}}},
            "models": {"providers": {"f": provider}},
        }

        async def asked(**more: Any) -> tuple[str, list[str], list[str]]:
            """How the run ended, which models were asked, which tools the last one had."""
            before = len(server.requests)
            entry = await ran(engine, {"kind": "agentTurn", "message": "look", **more})
            bodies = [one["body"] for one in server.requests[before:]]
            tools = sorted(one["function"]["name"] for one in bodies[-1].get("tools") or ())
            return entry["status"], [one["model"] for one in bodies], tools

        async with gateway(tmp_path, json.dumps(config)) as engine:
            await engine.start()
            # A model of its own brings no fallback of the agent; an empty list is strict.
            assert (await asked(model="f/own"))[:2] == ("error", ["own"])
            assert (await asked(fallbacks=[]))[:2] == ("error", ["usual"])
            status, models, tools = await asked(
                model="f/own", fallbacks=["f/b", "f/c"], toolsAllow=["read", "message"]
            )
            assert (status, models) == ("ok", ["own", "b", "c"])
            assert tools == ["message", "read"]
            await engine.stop()
