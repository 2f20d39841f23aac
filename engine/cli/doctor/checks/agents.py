"""`heartbeat.*`, `runner.*` and `channels.*`, as far as facts beside the way tell (§10). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.cli.doctor.catalogue import finding
from engine.cli.doctor.facts import AgentFacts, BackendFacts, ChannelFacts, Facts
from engine.cli.doctor.finding import Act, Finding, Repair

LARGE: Final = 4096  # bytes of HEARTBEAT.md


def check(facts: Facts) -> Iterator[Finding]:
    """Tell what is wrong with beats, models and accounts."""
    if facts.agents is not None and not facts.agents:
        yield finding(
            "heartbeat.none_enabled",
            "no agent has a heartbeat: none ever speaks by itself",
            f"{facts.program} config set agents.defaults.heartbeat.every 30m",
            repair=Repair(act=Act.SET_KEY, subject="agents.defaults.heartbeat.every", value="30m"),
        )
    for agent in facts.agents or ():
        yield from _agent(facts, agent)
    yield from _cost(facts)
    for backend in facts.backends:
        yield from _backend(facts, backend)
    for account in facts.channels:
        yield from _account(facts, account)


def _agent(facts: Facts, agent: AgentFacts) -> Iterator[Finding]:
    mine = (agent.id,)
    if agent.file_bytes is None:
        yield finding(
            "heartbeat.file_missing",
            f"{agent.file} is not there: {agent.id} is asked without a checklist",
            f"{facts.program} doctor --fix",
            agents=mine,
            repair=Repair(act=Act.WRITE_CHECKLIST, subject=agent.file),
        )
    elif agent.file_bytes > LARGE:
        words = f"{agent.file} has {agent.file_bytes} bytes, which every beat pays for"
        yield finding("heartbeat.file_large", words, f'"${{EDITOR:-vi}}" {agent.file}', agents=mine)
    if agent.never_open:
        yield finding(
            "heartbeat.window_never_open",
            f"{agent.id}: {agent.never_open}",
            f"{facts.program} config get agents.defaults.heartbeat.activeHours",
            agents=mine,
        )
    if agent.window_in_host_zone:
        yield finding(
            "heartbeat.window_tz",
            f"the active hours of {agent.id} name no time zone, and this machine keeps UTC",
            f"{facts.program} config set agents.defaults.userTimezone Europe/London",
            agents=mine,
        )
    if agent.model is not None and not agent.model_key:
        provider = agent.model.partition("/")[0]
        yield finding(
            "runner.key_missing",
            f"{agent.id} asks {agent.model}, and models.providers.{provider} has no apiKey",
            f"{facts.program} config set models.providers.{provider}.apiKey NEW_KEY",
            agents=mine,
        )
    if agent.always_ok:
        yield finding(
            "heartbeat.always_ok",
            f"the last 20 beats of {agent.id} all ended with HEARTBEAT_OK: it runs, and the model"
            " finds nothing to report",
            f'"${{EDITOR:-vi}}" {agent.file}',
            agents=mine,
        )


def _cost(facts: Facts) -> Iterator[Finding]:
    paid = [one for one in facts.agents or () if one.model is not None]
    total = sum(one.beats_a_day for one in paid)
    if not paid:
        return
    each = f"{len(paid)} agent{'s' * (len(paid) > 1)}"
    words = f"{each} beat {total:g} times a day, each a model call at most"
    yield finding("heartbeat.fanout_cost", words, f"{facts.program} heartbeat cost")


def _backend(facts: Facts, backend: BackendFacts) -> Iterator[Finding]:
    if not backend.in_shell and not backend.in_service:
        yield finding(
            "runner.cli_missing",
            f"{backend.command} of cliBackends.{backend.id} is not on this machine",
            f"elsewhere: install {backend.command}",
        )
    elif not backend.in_service:
        yield finding(
            "runner.service_path",
            f"{backend.command} of cliBackends.{backend.id} is found by your shell, and not by the"
            " service, whose PATH is another",
            f"{facts.program} gateway install --force",
            repair=None if facts.service.external else Repair(act=Act.REWRITE_SERVICE),
        )


def _account(facts: Facts, account: ChannelFacts) -> Iterator[Finding]:
    head = f"channels.{account.channel}"
    key = head if account.account == "default" else f"{head}.accounts.{account.account}"
    if account.error:
        kind = "auth" if account.auth else "offline"
        fix = account.fix or f"{facts.program} channels status --probe"
        yield finding(f"{head}.{kind}", f"{account.name} does not work: {account.error}", fix)
    if account.allow_empty:
        yield finding(
            f"{head}.allow_empty",
            f"{account.name} lets in nobody: allowFrom is empty",
            f"{facts.program} config set {key}.allowFrom '[\"YOUR_ID\"]'",
        )
    if account.open_dm:
        yield finding(
            f"{head}.open_dm",
            f"anybody may write to {account.name}, and each message is a turn of the agent",
            f"{facts.program} config set {key}.dmPolicy pairing",
        )
    if account.dropped:
        yield finding(
            f"{head}.drop_recent",
            f"{account.name} turned a message away lately: {account.dropped}",
            f"{facts.program} channels status --probe",
        )
