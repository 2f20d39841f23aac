"""Tried before anything is written: does the model answer, does the platform know the bot?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from engine.clock import SystemClock
from jobs.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from engine.config.load import Loaded

PATIENCE: Final = timedelta(seconds=60)
_LATER: Final = "try again later, or go on without this try: --no-probe"
_PROMPT: Final = "This is a test of the connection. Answer with the one word: ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of one try."""

    what: str  # model | channel
    ok: bool
    detail: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        told = {"ok": self.ok, "detail": self.detail}
        return told if self.ok or not self.fix else {**told, "fix": self.fix}


def model(loaded: Loaded, ref: str, folder: Path) -> Tried:
    """Ask the model one thing."""
    return asyncio.run(_model(loaded, ref, folder))


async def _model(loaded: Loaded, ref: str, folder: Path) -> Tried:
    from engine.agents.base import AgentFailure, TurnRequest
    from engine.agents.configured import factory_of

    clock = SystemClock()

    async def sleep(span: timedelta) -> None:
        await clock.sleep_until(clock.now() + span)

    factory = factory_of(loaded.config, sleep=sleep, folder=folder)
    began = clock.monotonic()
    request = TurnRequest(
        run_id="onboard",
        agent_id="main",
        session_key="agent:main:onboard",
        kind="chat",
        prompt=_PROMPT,
        model=ref,
        now=clock.now(),
    )
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            reply = await factory.build(ref).answer(request)
    except AgentFailure as failure:
        why, _, fix = failure.message.partition(". Fix: ")
        fix = _remedy(failure.failure.value) or fix or _LATER
        return Tried(what="model", ok=False, detail=why, fix=fix)
    except TimeoutError:
        detail = f"{ref} did not answer within {PATIENCE.seconds} s"
        return Tried(what="model", ok=False, detail=detail, fix=_LATER)
    finally:
        await factory.close()
    took = (clock.monotonic() - began).total_seconds()
    said = " ".join(reply.text.split())[:60]
    return Tried(what="model", ok=True, detail=f'{ref} answered "{said}" in {took:.1f} s')


def _remedy(failure: str) -> str:
    match failure:
        case "auth":
            return "give another key with --api-key"
        case "model_not_found":
            return "name another model with --model"
        case "billing":
            return "top up the account of the provider"
        case _:
            return ""


def channel(loaded: Loaded, name: str, account: str, environ: Mapping[str, str]) -> Tried:
    """Ask the platform whether it knows this account; nothing is sent to a person."""
    return asyncio.run(_channel(loaded, name, account, environ))


async def _channel(loaded: Loaded, name: str, account: str, environ: Mapping[str, str]) -> Tried:
    from engine.events import Bus
    from gateway.channels.configured import channels
    from jobs.store.db import Database

    database = await Database.memory()
    try:
        clock = SystemClock()
        made = channels(loaded.config, database, environ, clock=clock, bus=Bus()).get(name)
        if made is None:
            detail = f"{name} is switched off (channels.{name}.enabled)"
            return Tried(what="channel", ok=False, detail=detail, fix="switch it on")
        async with asyncio.timeout(PATIENCE.total_seconds()):
            told = await made.probe(account)
    except TimeoutError:
        detail = f"{name}/{account} did not answer within {PATIENCE.seconds} s"
        return Tried(what="channel", ok=False, detail=detail, fix="go on with --no-probe")
    except EngineError as error:
        return Tried(what="channel", ok=False, detail=f"{error.what}: {error.why}", fix=error.fix)
    finally:
        await database.close()
    who = f" ({told['username']})" if told.get("username") else ""
    return Tried(
        what="channel",
        ok=told.get("ok") is not False,
        detail=f"{name}/{account}{who}: {told.get('detail') or 'works'}",
        fix=str(told.get("fix") or ""),
    )
