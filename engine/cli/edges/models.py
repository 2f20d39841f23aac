"""`engine models` and `engine infer`: who answers, by which key, and what it said last.

operations.md §1.1: `infer model run` has no session, no tools and no gateway, so that "the model
is broken" and "the engine is broken" are two findings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from engine.cli import at_rest
from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.render import one_line, relative
from engine.clock import SystemClock
from engine.config import fast
from engine.config.variables import is_variable
from jobs.errors import EngineError, GatewayDown, UsageError

if TYPE_CHECKING:
    from engine.config.schema import Config

_ADVICE: Final[Mapping[str, str]] = {
    "rate_limit": "wait, or name a second model under model.fallbacks",
    "auth": "renew the key of this provider",
    "auth_permanent": "renew the key of this provider",
    "billing": "settle the provider's account",
    "model_not_found": "correct the model's name: engine models list",
    "timeout": "engine infer model run, to see how long an answer takes",
    "overloaded": "wait, or name a second model under model.fallbacks",
}
_FAILED: Final = 20  # of the newest runs in which an error is looked for


@click.group(cls=Group, name="models", epilog="Example: engine models status")
def models() -> None:
    """Where answers come from."""


@models.command(epilog="Example: engine models status --json")
@gateway_options()
def status(line: Line) -> int:
    """Who answers for whom, whether there is a key, and what a model said last when it failed.

    With the gateway down: what the config says.
    """
    config = at_rest.loaded(line.place).config
    report: dict[str, Any] = {
        "agents": _agents(config),
        "providers": _providers(line, config),
        "backends": sorted(config.agents.defaults.cli_backends),
        "lastErrors": None,
    }
    try:
        report["lastErrors"] = _last_errors(line)
        report["suspended"] = _suspended(line)
    except GatewayDown:
        report["gateway"] = {"running": False}
    line.show(report, _words)
    lacking = {one["id"] for one in report["providers"] if not one["ready"]}
    asked = {ref.partition("/")[0] for one in report["agents"] for ref in one["models"]}
    return 1 if lacking & asked else 0


@models.command("list", epilog="Example: engine models list")
@gateway_options()
def listing(line: Line) -> None:
    """Every model the config names."""
    answer = line.call("models.list", {"view": "all"})
    line.show(
        answer,
        lambda told: (
            "\n".join(f"{one['provider']}/{one['id']}" for one in told["models"])
            or "No model is configured: agents answer offline."
        ),
    )


def _agents(config: Config) -> list[dict[str, Any]]:
    from engine.config import effective

    default = config.agents.defaults.model
    rows = []
    for agent in effective.agents(config):
        own = agent.model or default
        primary = own.primary or default.primary or "offline"
        rest = own.fallbacks if own.fallbacks is not None else default.fallbacks
        rows.append({"id": agent.id, "models": [primary, *(rest or ())]})
    return rows


def _providers(line: Line, config: Config) -> list[dict[str, Any]]:
    written = fast.get(line.place.values, "models.providers")
    raw = written if isinstance(written, Mapping) else {}
    rows = []
    for name, values in config.models.providers.items():
        own = raw.get(name)
        given = own.get("apiKey") if isinstance(own, Mapping) else None
        source = _source(given, found=values.api_key is not None)
        needs = values.base_url is None or not _here(values.base_url)
        rows.append(
            {
                "id": name,
                "api": str(values.api),
                "baseUrl": values.base_url,
                "keySource": source,
                "ready": values.api_key is not None or bool(values.headers) or not needs,
                "models": [one.id for one in values.models],
            }
        )
    return rows


def _here(url: str) -> bool:
    from gateway.protocol.address import host_of, is_loopback

    return is_loopback(host_of(url))


def _source(given: Any, *, found: bool) -> str:
    """Where a key comes from, and never what it is."""
    match given:
        case str() if is_variable(given):
            return f"env {given.strip('${}')}" + ("" if found else " (not set)")
        case Mapping():
            return f"secret {given.get('source', '')}:{given.get('id', '')}"
        case None:
            return "config" if found else "none"
        case _:
            return "config"


def _last_errors(line: Line) -> list[dict[str, Any]]:
    answer = line.call("cron.runs", {"scope": "all", "status": "error", "limit": _FAILED})
    newest: dict[str, dict[str, Any]] = {}
    for run in answer.get("entries") or ():
        who = str(run.get("model") or run.get("agentId") or "-")
        kind = str(run.get("errorReason") or "")
        newest.setdefault(
            who,
            {
                "model": who,
                "agentId": run.get("agentId"),
                "error": run.get("error"),
                "class": kind or None,
                "atMs": run.get("ts"),
                "advice": _ADVICE.get(kind) or _advice(str(run.get("error") or "")),
            },
        )
    return list(newest.values())


def _advice(words: str) -> str | None:
    return next((said for kind, said in _ADVICE.items() if kind in words), None)


def _suspended(line: Line) -> list[dict[str, Any]]:
    answer = line.call("heartbeat.list")
    rows: Iterable[Mapping[str, Any]] = answer["heartbeats"]
    return [
        {"agentId": one.get("agentId"), "because": one["suspended"]}
        for one in rows
        if one.get("suspended")
    ]


def _words(report: Mapping[str, Any]) -> str:
    lines = [f"{one['id']}: {' → '.join(one['models'])}" for one in report["agents"]]
    for one in report["providers"]:
        state = "ready" if one["ready"] else "no key"
        lines.append(f"provider {one['id']}: {state} (key: {one['keySource']}), {one['api']}")
    lines += [f"command {name}" for name in report["backends"]]
    if not report["providers"] and not report["backends"]:
        lines.append("No provider is configured: agents answer offline.")
    if report["lastErrors"] is None:
        lines.append("The gateway is down: what models said last is not known. Fix: engine gateway")
    now = SystemClock().now()
    for one in report["lastErrors"] or ():
        lines.append(
            f"last error of {one['model']}, {relative(one['atMs'], now)}: "
            f"{one_line(one['error'] or '-')}" + (f" Fix: {one['advice']}" if one["advice"] else "")
        )
    lines += [
        f"beats of {one['agentId']} are suspended: {one_line(one['because'])}"
        for one in report.get("suspended") or ()
    ]
    return "\n".join(lines)


# -- one call --------------------------------------------------------------------------------


@click.group(cls=Group, name="infer", epilog='Example: engine infer model run --prompt "hi"')
def infer() -> None:
    """Ask a model directly, without session, tools or gateway."""


@infer.group("model", cls=Group, epilog='Example: engine infer model run --prompt "hi"')
def infer_model() -> None:
    """Ask a model directly."""


@infer_model.command("run", epilog="Example: engine infer model run --model offline --prompt hi")
@click.option("--model", metavar="PROVIDER/MODEL", help="The default agent's otherwise.")
@click.option("--prompt", required=True, metavar="TEXT")
@gateway_options(timeout_ms=120_000)
def infer_run(line: Line, model: str | None, prompt: str) -> int:
    """One call; says how long it took. What fails here is the model's fault, not the engine's."""
    if not prompt.strip():
        raise UsageError("there is nothing to ask", fix='--prompt "hi"')
    config = at_rest.loaded(line.place).config
    answer = asyncio.run(_asked(line, config, model, prompt))
    line.show(answer, lambda told: str(told["text"]) or "(it said nothing)")
    return 0 if answer["text"] else 1


async def _asked(line: Line, config: Config, model: str | None, prompt: str) -> dict[str, Any]:
    from engine.agents.base import AgentFailure, TurnRequest
    from engine.agents.configured import factory_of
    from engine.config import effective

    clock = SystemClock()
    agents = _agents(config)
    chosen = model or next(
        one["models"][0] for one in agents if one["id"] == effective.default_agent(config)
    )
    folder: Path = line.place.paths.config.parent

    async def sleep(span: timedelta) -> None:
        await clock.sleep_until(clock.now() + span)

    factory = factory_of(config, sleep=sleep, folder=folder)
    began = clock.monotonic()
    try:
        async with asyncio.timeout(line.timeout.total_seconds()):
            reply = await factory.build(chosen).answer(
                TurnRequest(
                    run_id="infer",
                    agent_id="infer",
                    session_key="infer",
                    kind="chat",
                    prompt=prompt,
                    now=clock.now(),
                )
            )
    except AgentFailure as failure:
        kind = failure.failure.value
        raise EngineError(
            f"{chosen} did not answer",
            why=failure.message,
            fix=_ADVICE.get(kind, "engine models status"),
            type=kind,
        ) from failure
    except TimeoutError as late:
        raise EngineError(
            f"{chosen} did not answer",
            why=f"waited {line.timeout.total_seconds():g} s",
            fix="--timeout 300000, or another --model",
            type="timeout",
        ) from late
    finally:
        await factory.close()
    usage = reply.usage
    return {
        "ok": True,
        "model": chosen,
        "text": "\n".join(reply.payloads),
        "ms": round((clock.monotonic() - began).total_seconds() * 1000),
        "usage": None
        if usage is None
        else {"input": usage.input_tokens, "output": usage.output_tokens},
    }
