"""Each id of the doctor fires on the smallest thing that is wrong, and on nothing else (§10)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.cli.doctor import catalogue, checks, way
from engine.cli.doctor.catalogue import CATALOGUE, chosen, general, refuse_unknown
from engine.cli.doctor.facts import (
    AgentFacts,
    BackendFacts,
    ChannelFacts,
    Facts,
    Reach,
)
from engine.cli.doctor.finding import Severity
from jobs.errors import UsageError

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HEALTHY = Facts(now=NOW, agents=(AgentFacts(id="main"),))


def has(part: str, **changes: Any) -> Facts:
    """A healthy installation with one part otherwise."""
    return replace(HEALTHY, **{part: replace(getattr(HEALTHY, part), **changes)})


def note(code: str) -> Facts:
    return has("config", notes=((code, "some.key", "it is so", True),))


def agent(**changes: Any) -> Facts:
    return replace(HEALTHY, agents=(replace(AgentFacts(id="main"), **changes),))


def account(**changes: Any) -> Facts:
    return replace(HEALTHY, channels=(ChannelFacts(channel="telegram", **changes),))


def backend(**changes: Any) -> Facts:
    return replace(HEALTHY, backends=(BackendFacts(id="claude", command="claude", **changes),))


BROKEN: dict[str, Facts] = {
    "config.missing": has("config", exists=False),
    "config.invalid": has("config", issues=("line 3: no",)),
    "config.legacy": has("config", issues=("agent: moved to agents.defaults",), migrates=True),
    "config.restored": has("config", clobbered="engine.json.clobbered.1"),
    "config.perms": has("config", open_files=("/h/engine.json",)),
    "config.symlink": has("config", symlink="/elsewhere"),
    "config.written_by_newer": has("config", newer="9.0"),
    "config.unknown_env": has("config", unknown_env=("ENGINE_PROT has no meaning",)),
    "config.inert": has("config", notes=(("config.inert_key", "talk", "no effect", False),)),
    "config.note": note("heartbeat.short_interval"),
    "channels.default_account_missing": note("channels.default_account_missing"),
    "heartbeat.account_ambiguous": note("heartbeat.unknown_account"),
    "heartbeat.target_unresolved": note("heartbeat.no_owner"),
    "runner.model_unknown": note("runner.model_unknown"),
    "plugins.broken": note("channels.plugin_broken"),
    "state.missing": has("state", exists=False),
    "state.perms": has("state", open_to_others=True),
    "state.synced_dir": has("state", synced_by="Dropbox"),
    "state.sd_card": has("state", sd_card=True),
    "state.two_dirs": has("state", others=("~/.engine",)),
    "state.db_integrity": has("state", damaged="row 3"),
    "state.db_schema": has("state", schema="0001", head="0002"),
    "state.disk_low": has("state", free_bytes=1),
    "state.stale_lock": has("state", dead_owner=9),
    "state.orphan_runs": has("state", orphans=2),
    "cron.store_legacy": has("state", legacy_jobs="/h/cron/jobs.json"),
    "scheduler.clock_skew": has("state", newest_row=NOW + timedelta(hours=1)),
    "service.not_installed": has("service", installed=False),
    "service.stopped": replace(
        has("service", running=False),
        gateway=replace(HEALTHY.gateway, reach=Reach.STOPPED, why="it does not run"),
    ),
    "service.failed": has("service", failed="exit-code"),
    "service.drift": has("service", drift=("- a",)),
    "service.duplicate": has("service", duplicate="/etc/systemd/system/x"),
    "service.old_binary": has("service", version="0.0.1"),
    "service.path": has("service", program="/gone", program_there=False),
    "service.linger": has("service", lingers=False),
    "service.sleep": has("service", laptop=True),
    "gateway.unreachable": has("gateway", reach=Reach.UNREACHABLE, why="no answer"),
    "gateway.auth_mismatch": has("gateway", reach=Reach.AUTH, why="token"),
    "gateway.rpc_limited": has("gateway", reach=Reach.LIMITED, why="scope"),
    "gateway.wrong_instance": has("gateway", wrong_instance="boot-2"),
    "gateway.port_conflict": has("gateway", reach=Reach.STOPPED, foreign_listener="pid 3 (node)"),
    "gateway.bind_no_auth": has("gateway", bind="lan", auth="none"),
    "gateway.mode_missing": has("gateway", mode=None),
    "gateway.token_missing": has("gateway", has_credential=False),
    "gateway.both_auth": has("gateway", both_auth=True),
    "gateway.env_token_shadow": has("gateway", env_token_differs="ENGINE_GATEWAY_TOKEN"),
    "auth.devices_pending": has("gateway", pending_devices=("r1",)),
    "auth.device_token_stale": has("gateway", stale_devices=("630dcd2966c4 (desk)",)),
    "scheduler.not_armed": has("gateway", armed=False),
    "scheduler.lag": has("gateway", lag=timedelta(seconds=9)),
    "scheduler.missed_runs": has("gateway", missed=3),
    "scheduler.disabled": has("schedule", cron_enabled=False),
    "scheduler.tz_invalid": has("schedule", bad_zone="Mars/Base"),
    "cron.job_invalid": has("schedule", unreadable=(("j1", "no schedule"),)),
    "cron.job_never_fires": has("schedule", never_fire=(("j1", "brief"),)),
    "heartbeat.none_enabled": replace(HEALTHY, agents=()),
    "heartbeat.file_missing": agent(file_bytes=None),
    "heartbeat.file_large": agent(file_bytes=5000),
    "heartbeat.window_never_open": agent(never_open="no beat lands inside"),
    "heartbeat.window_tz": agent(window_in_host_zone=True),
    "heartbeat.always_ok": agent(always_ok=True),
    "heartbeat.fanout_cost": agent(model="openai/x"),
    "runner.key_missing": agent(model="openai/x", model_key=False),
    "runner.cli_missing": backend(in_shell=False, in_service=False),
    "runner.service_path": backend(in_service=False),
    "channels.telegram.auth": account(error="401", auth=True),
    "channels.telegram.offline": account(error="no network"),
    "channels.telegram.allow_empty": account(allow_empty=True),
    "channels.telegram.open_dm": account(open_dm=True),
    "channels.telegram.drop_recent": account(dropped="a stranger wrote"),
    "secrets.unresolved": has("host", secrets=(("unresolved", "no file"),)),
    "security.fs.config.perms_writable": has(
        "host", security=(("fs.config.perms_writable", "others may write it", "chmod 600 x"),)
    ),
    "security.warnings": has("host", security_warnings=6),
    "plugins.allow_empty": has("host", strangers=("matrix",)),
    "python.version": has("host", python=(3, 9)),
    "python.venv": has("host", moved="/gone"),
    "python.deps": has("host", missing=("httpx",)),
    "completion.missing": has("host", completion=False),
    "backup.none": has("host", backups=0),
    "sandbox.docker_missing": has("host", sandbox="all", docker=False),
}
# What comes of some causes beside the finding itself.
ALONG: dict[str, set[str]] = {
    "service.stopped": {"gateway.unreachable"},
    "gateway.port_conflict": {"gateway.unreachable"},
    "runner.key_missing": {"heartbeat.fanout_cost"},
}
LINKS: dict[str, tuple[str, str]] = {
    "heartbeat.off": ("heartbeat.disabled", "broken"),
    "heartbeat.held": ("gate.budget-exhausted", "broken"),
    "heartbeat.target_none": ("target.none", "broken"),
    "heartbeat.target_unresolved": ("target.no-route", "broken"),
    "heartbeat.account_ambiguous": ("target.account-ambiguous", "warn"),
    "heartbeat.direct_blocked": ("policy.dm-blocked", "broken"),
    "heartbeat.alerts_off": ("policy.alerts-disabled", "broken"),
    "heartbeat.file_empty": ("checklist.empty-heartbeat-file", "broken"),
    "runner.model_unknown": ("model.unknown", "broken"),
    "runner.offline": ("model.offline", "warn"),
    "runner.failing": ("model.agent-runner-failure", "broken"),
    "runner.cooldown": ("model.rate-limit", "broken"),
    "scheduler.not_armed": ("scheduler.not-armed", "broken"),
    "delivery.blocked": ("delivery.blocked", "broken"),
}
SAID_ELSEWHERE = {"heartbeat.ack_swallows_text", "cron.job_no_target"}  # inbox, unheard


def test_a_healthy_installation_is_quiet() -> None:
    assert checks.judged(HEALTHY) == []


@pytest.mark.parametrize("ident", BROKEN)
def test_each_id_fires_on_the_smallest_thing_that_is_wrong(ident: str) -> None:
    found = {one.id: one for one in checks.judged(BROKEN[ident])}
    assert set(found) == {ident} | ALONG.get(ident, set())
    assert found[ident].what
    assert found[ident].fix
    assert "<" not in found[ident].fix


@pytest.mark.parametrize("ident", LINKS)
def test_each_link_of_the_way_has_its_id(ident: str) -> None:
    code, state = LINKS[ident]
    link = {"code": code, "state": state, "what": "it is so", "fix": "engine x"}
    (one,) = way.found([{"agentId": "main", "links": [link]}])
    assert (one.id, one.agents) == (ident, ("main",))


def test_no_id_is_without_its_test() -> None:
    tested = {general(ident) for ident in (*BROKEN, *LINKS)} | SAID_ELSEWHERE
    assert tested == set(CATALOGUE)


def test_the_worst_comes_first() -> None:
    facts = replace(
        has("state", damaged="row 3", sd_card=True), config=replace(HEALTHY.config, newer="9")
    )
    ranks = [one.severity.rank for one in checks.judged(facts)]
    assert ranks == sorted(ranks)


def test_where_somebody_else_looks_after_services_nothing_of_them_is_mended() -> None:
    (one,) = checks.judged(has("service", lingers=False, external=True))
    assert one.repair is None


@pytest.mark.parametrize(
    ("only", "skip", "kept"),
    [
        ((), (), True),
        (("config",), (), False),
        (("gateway",), (), True),
        (("gateway.unreachable",), (), True),
        (("gateway.*",), (), True),
        ((), ("gateway",), False),
        (("gateway",), ("gateway.unreachable",), False),
    ],
)
def test_a_check_is_chosen_by_its_id_or_its_group(
    only: tuple[str, ...], skip: tuple[str, ...], kept: bool
) -> None:
    assert chosen("gateway.unreachable", only, skip) is kept


def test_a_check_nobody_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="no check of the doctor"):
        refuse_unknown(("gateway.unreachabel",))


def test_severities_are_as_the_paper_has_them() -> None:
    assert CATALOGUE["heartbeat.target_unresolved"] is Severity.ERROR
    assert CATALOGUE["heartbeat.target_none"] is Severity.WARN
    assert CATALOGUE["service.linger"] is Severity.ERROR


def test_every_id_stands_in_the_list_of_ids() -> None:
    page = (Path(catalogue.__file__).parent / "README.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (.+) \|$", page, re.MULTILINE))
    told = {
        f"{group}.{ident}": severity
        for group, ids in rows.items()
        for ident, severity in re.findall(r"`([^`]+)` (\w+)", ids)
    }
    assert told == {ident: severity.value for ident, severity in CATALOGUE.items()}
