"""Every check of operations.md §12 on the smallest thing that is wrong, and on a clean home."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from engine.security.facts import Facts, FileFact, JobFact, Kept, Probe, ProviderFact
from engine.security.findings import Finding, Severity
from engine.security.report import audit

NOW: Final = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG: Final = "Zk4vQ0m2xR8tLw6yBn1sHd7u"
HOOKS: Final = {
    "enabled": True,
    "path": "/hooks",
    "defaultSessionKey": "hook:in",
    "allowedAgentIds": ["main"],
}
PROXY: Final = {
    "bind": "lan",
    "trustedProxies": ["10.0.0.1"],
    "auth": {
        "mode": "trusted-proxy",
        "trustedProxy": {"userHeader": "x-user", "allowUsers": ["ann"]},
    },
    "controlUi": {"allowedOrigins": ["https://engine.example.org"]},
}
OPEN_GROUP: Final = {"telegram": {"groupPolicy": "open"}}


def of(values: Mapping[str, Any], **more: Any) -> Facts:
    """Facts of a config; the rest is a clean home."""
    bind = values.get("gateway", {}).get("bind", "loopback")
    home: dict[str, Any] = {"token": LONG, "state": "/home/ann/.engine", "bind": bind, **more}
    return Facts(values=values, authored=values, **home)


def gateway(**keys: Any) -> Facts:
    return of({"gateway": keys})


def hooks(given: str | None = "aW9x3Tq7Lm2Vb8Nc5Kd1Ze6R", **keys: Any) -> Facts:
    return of({"hooks": {**HOOKS, **keys}}, hooks_token=given)


def file(what: Kept, mode: int, *, symlink: bool = False) -> Facts:
    return of({}, files=(FileFact(what=what, path=f"/h/{what}", mode=mode, symlink=symlink),))


def proxy(*, auth: Mapping[str, Any] | None = None, **keys: Any) -> Facts:
    rule = {**PROXY["auth"]["trustedProxy"], **(auth or {})}  # type: ignore[index]  # a dict of dicts
    return gateway(**{**PROXY, "auth": {"mode": "trusted-proxy", "trustedProxy": rule}, **keys})


def job(**keys: Any) -> Facts:
    return of({}, jobs=(JobFact(id="j1", name="brief", **keys),))


def provider(source: str, mode: int, **keys: Any) -> Facts:
    return of({}, providers=(ProviderFact(alias="v", source=source, path="/x", mode=mode, **keys),))


def installed(**keys: Any) -> Facts:
    pinned = {"spec": "chat@1.2.3", "integrity": "sha512-x", "version": "1", "resolvedVersion": "1"}
    return of({"plugins": {"installs": {"chat": {**pinned, **keys}}}})


def sandbox(mode: str = "all", **docker: Any) -> Facts:
    return of({"agents": {"defaults": {"sandbox": {"mode": mode, "docker": docker}}}})


EXEC: Final = {"exec": {"security": "allowlist"}}
C, W, I = Severity.CRITICAL, Severity.WARN, Severity.INFO  # noqa: E741 - the table is read in columns

OTHERS: Final = [kind for kind in Kept if kind not in (Kept.STATE_DIR, Kept.LOG_FILE)]
FILES: Final = [
    *((f"fs.{kind}.perms_writable", C, file(kind, 0o620)) for kind in OTHERS),
    *((f"fs.{kind}.perms_world_readable", C, file(kind, 0o604)) for kind in OTHERS),
    *((f"fs.{kind}.perms_group_readable", W, file(kind, 0o640)) for kind in OTHERS),
    *((f"fs.{kind}.symlink", W, file(kind, 0o600, symlink=True)) for kind in OTHERS),
]
TABLE: Final = [
    ("fs.state_dir.perms_world_writable", C, file(Kept.STATE_DIR, 0o707)),
    ("fs.state_dir.perms_group_writable", W, file(Kept.STATE_DIR, 0o770)),
    ("fs.state_dir.perms_readable", W, file(Kept.STATE_DIR, 0o750)),
    ("fs.state_dir.symlink", W, file(Kept.STATE_DIR, 0o700, symlink=True)),
    *FILES,
    ("fs.log_file.perms_readable", W, file(Kept.LOG_FILE, 0o644)),
    ("fs.synced_dir", W, of({}, state="/Users/ann/Dropbox/.engine")),
    ("gateway.bind_no_auth", C, gateway(bind="lan", auth={"mode": "none"})),
    ("gateway.loopback_no_auth", C, gateway(auth={"mode": "none"})),
    (
        "gateway.auth_no_rate_limit",
        W,
        gateway(bind="lan", auth={"rateLimit": {"maxAttempts": 100_000}}),
    ),
    ("gateway.token_too_short", W, of({}, token="Zk4vQ0m2")),
    ("gateway.token_placeholder", C, of({}, token="your-gateway-token")),
    (
        "gateway.token_placeholder",
        C,
        of({"gateway": {"auth": {"mode": "password"}}}, password="your-gateway-password"),
    ),
    ("gateway.http.no_auth", W, gateway(auth={"mode": "none"})),
    ("gateway.http.no_auth", C, gateway(bind="lan", auth={"mode": "none"})),
    (
        "gateway.http.session_key_override_enabled",
        I,
        gateway(http={"endpoints": {"responses": {"enabled": True}}}),
    ),
    ("gateway.tools_invoke_http.dangerous_allow", W, gateway(tools={"allow": ["exec"]})),
    ("gateway.trusted_proxy_auth", C, proxy()),
    ("gateway.trusted_proxy_no_proxies", C, proxy(trustedProxies=[])),
    ("gateway.trusted_proxy_no_user_header", C, proxy(auth={"userHeader": ""})),
    ("gateway.trusted_proxy_no_allowlist", W, proxy(auth={"allowUsers": []})),
    ("gateway.trusted_proxy_allow_loopback", W, proxy(auth={"allowLoopback": True})),
    ("gateway.trusted_proxies_missing", W, proxy(bind="loopback")),
    (
        "gateway.trusted_proxies_missing",
        W,
        gateway(controlUi={"allowedOrigins": ["https://engine.example.org"]}),
    ),
    ("gateway.real_ip_fallback_enabled", W, gateway(allowRealIpFallback=True)),
    ("gateway.real_ip_fallback_enabled", C, gateway(bind="lan", allowRealIpFallback=True)),
    ("gateway.control_ui.allowed_origins_required", W, gateway(bind="lan")),
    (
        "gateway.control_ui.allowed_origins_wildcard",
        C,
        gateway(bind="lan", controlUi={"allowedOrigins": ["*"]}),
    ),
    (
        "gateway.control_ui.host_header_origin_fallback",
        W,
        gateway(controlUi={"dangerouslyAllowHostHeaderOriginFallback": True}),
    ),
    ("gateway.nodes.deny_commands_ineffective", W, gateway(nodes={"denyCommands": ["system.*"]})),
    ("gateway.nodes.allow_commands_dangerous", W, gateway(nodes={"allowCommands": ["sms.send"]})),
    ("gateway.tailscale_funnel", C, gateway(tailscale={"mode": "funnel"})),
    ("gateway.tailscale_serve", I, gateway(tailscale={"mode": "serve"})),
    ("discovery.mdns_full_mode", W, of({"discovery": {"mdns": {"mode": "full"}}})),
    ("gateway.probe_failed", W, of({}, probe=Probe(ok=False, detail="refused"))),
    (
        "gateway.probe_auth_secretref_unavailable",
        W,
        of({}, probe=Probe(ok=False, detail="a file", credential_unresolved=True)),
    ),
    (
        "config.secrets.gateway_password_in_config",
        W,
        gateway(auth={"mode": "password", "password": "plain and long enough"}),
    ),
    ("config.secrets.hooks_token_in_config", W, hooks(token="plain")),
    (
        "config.insecure_or_dangerous_flags",
        W,
        of({"hooks": {"mappings": [{"id": "x", "allowUnsafeExternalContent": True}]}}),
    ),
    ("hooks.token_reuse_gateway_token", C, hooks(LONG)),
    ("hooks.path_root", C, hooks(path="/")),
    ("hooks.token_too_short", W, hooks("short")),
    ("hooks.default_session_key_unset", W, hooks(defaultSessionKey="")),
    ("hooks.allowed_agent_ids_unrestricted", W, hooks(allowedAgentIds=None)),
    (
        "hooks.request_session_key_enabled",
        W,
        hooks(allowRequestSessionKey=True, allowedSessionKeyPrefixes=["hook:"]),
    ),
    ("hooks.request_session_key_prefixes_missing", W, hooks(allowRequestSessionKey=True)),
    ("logging.redact_off", W, of({"logging": {"redactSensitive": "off"}})),
    ("channels.open_dm", W, of({"channels": {"qqbot": {"dmPolicy": "open"}}})),
    ("channels.open_dm", W, of({"channels": {"telegram": {"allowFrom": ["*"]}}})),
    (
        "security.trust_model.multi_user_heuristic",
        W,
        of({"tools": EXEC, "channels": {"telegram": {"allowFrom": ["1", "2", "3"]}}}),
    ),
    (
        "security.exposure.open_channels_with_exec",
        C,
        of({"tools": EXEC, "channels": OPEN_GROUP}),
    ),
    (
        "security.exposure.open_groups_with_elevated",
        C,
        of({"tools": {"elevated": {"enabled": True}}, "channels": OPEN_GROUP}),
    ),
    ("tools.exec.security_full_configured", W, of({"tools": {"exec": {"security": "full"}}})),
    (
        "tools.profile_minimal_overridden",
        W,
        of(
            {
                "tools": {"profile": "minimal"},
                "agents": {"list": [{"id": "ops", "tools": {"profile": "full"}}]},
            }
        ),
    ),
    ("plugins.extensions_no_allowlist", W, of({}, plugins=("chat",))),
    ("plugins.tools_reachable_permissive_policy", W, of({}, plugins=("chat",))),
    ("plugins.installs_unpinned", W, installed(spec="chat@latest")),
    ("plugins.installs_missing_integrity", W, installed(integrity=None)),
    ("plugins.installs_version_drift", W, installed(version="2")),
    ("sandbox.docker_config_mode_off", W, sandbox("off", image="x")),
    ("sandbox.dangerous_bind_mount", C, sandbox(binds=["/var/run/docker.sock:/s"])),
    ("sandbox.dangerous_bind_mount", C, sandbox(binds=["/etc/ssh:/ssh:ro"])),
    ("sandbox.dangerous_network_mode", C, sandbox(network="host")),
    ("secrets.exec_provider_writable", C, provider("exec", 0o775)),
    ("secrets.exec_provider_writable", C, provider("exec", 0o755, folder_open=True)),
    ("secrets.file_provider_perms", C, provider("file", 0o640)),
    ("secrets.file_provider_perms", C, provider("file", 0o600, foreign=True)),
    ("scheduler.job_from_untrusted", W, job(by_agent=True, external=True)),
    ("scheduler.webhook_target_plain_http", W, job(webhook="http://example.org/x?key=abc")),
    ("scheduler.unbounded_rate", W, job(gap=timedelta(seconds=30))),
    ("summary.attack_surface", I, of({})),
]
# What §12 lists, so that a check nobody wrote is missed here.
LISTED: Final = {
    *(f"fs.state_dir.{one}" for one in ("perms_world_writable", "perms_group_writable")),
    *("fs.state_dir.perms_readable", "fs.state_dir.symlink", "fs.log_file.perms_readable"),
    *(
        f"fs.{kind}.{one}"
        for kind in ("config", "config_include", "env_file", "db", "backup")
        for one in ("perms_writable", "perms_world_readable", "perms_group_readable", "symlink")
    ),
    *("fs.synced_dir", "gateway.bind_no_auth", "gateway.loopback_no_auth"),
    *("gateway.auth_no_rate_limit", "gateway.token_too_short", "gateway.token_placeholder"),
    *("gateway.http.no_auth", "gateway.http.session_key_override_enabled"),
    *("gateway.tools_invoke_http.dangerous_allow", "gateway.trusted_proxy_auth"),
    *("gateway.trusted_proxy_no_proxies", "gateway.trusted_proxy_no_user_header"),
    *("gateway.trusted_proxy_no_allowlist", "gateway.trusted_proxy_allow_loopback"),
    *("gateway.trusted_proxies_missing", "gateway.real_ip_fallback_enabled"),
    *(
        f"gateway.control_ui.{one}"
        for one in (
            "allowed_origins_required",
            "allowed_origins_wildcard",
            "host_header_origin_fallback",
        )
    ),
    *("gateway.nodes.deny_commands_ineffective", "gateway.nodes.allow_commands_dangerous"),
    *("gateway.tailscale_funnel", "gateway.tailscale_serve", "discovery.mdns_full_mode"),
    *("gateway.probe_failed", "gateway.probe_auth_secretref_unavailable"),
    *("config.secrets.gateway_password_in_config", "config.secrets.hooks_token_in_config"),
    *("config.insecure_or_dangerous_flags", "hooks.token_reuse_gateway_token"),
    *("hooks.path_root", "hooks.token_too_short", "hooks.default_session_key_unset"),
    *("hooks.allowed_agent_ids_unrestricted", "hooks.request_session_key_enabled"),
    *("hooks.request_session_key_prefixes_missing", "logging.redact_off", "channels.open_dm"),
    *("security.trust_model.multi_user_heuristic", "security.exposure.open_channels_with_exec"),
    *("security.exposure.open_groups_with_elevated", "tools.exec.security_full_configured"),
    *("tools.profile_minimal_overridden", "plugins.tools_reachable_permissive_policy"),
    *("plugins.extensions_no_allowlist", "plugins.installs_unpinned"),
    *("plugins.installs_missing_integrity", "plugins.installs_version_drift"),
    *("sandbox.docker_config_mode_off", "sandbox.dangerous_bind_mount"),
    *("sandbox.dangerous_network_mode", "secrets.exec_provider_writable"),
    *("secrets.file_provider_perms", "scheduler.job_from_untrusted"),
    *("scheduler.webhook_target_plain_http", "scheduler.unbounded_rate"),
    "summary.attack_surface",
}
CLEAN: Final = of(
    {
        "gateway": {"mode": "local", "bind": "loopback"},
        "agents": {"list": [{"id": "main"}]},
        "channels": {"telegram": {"allowFrom": ["1"], "groupPolicy": "allowlist"}},
        "tools": {"exec": {"security": "deny"}},
    },
    files=(
        FileFact(what=Kept.STATE_DIR, path="/h", mode=0o700),
        *(FileFact(what=kind, path="/h/x", mode=0o600) for kind in Kept if kind != "state_dir"),
    ),
    providers=(ProviderFact(alias="v", source="file", path="/x", mode=0o600),),
    jobs=(
        JobFact(id="j1", name="brief", gap=timedelta(minutes=5), webhook="https://example.org"),
        JobFact(id="j2", name="tick", gap=timedelta(seconds=5), asks_model=False),
        JobFact(id="j3", name="mine", by_agent=True),
        JobFact(id="j4", name="seen", by_agent=True, external=True, confirmed=True),
    ),
    probe=Probe(ok=True),
)


def found(facts: Facts) -> Mapping[str, Finding]:
    return {one.check_id: one for one in audit(facts, NOW).findings}


@pytest.mark.parametrize(
    ("check_id", "severity", "facts"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE]
)
def test_each_check_fires_on_the_smallest_thing_that_is_wrong(
    check_id: str, severity: Severity, facts: Facts
) -> None:
    finding = found(facts)[check_id]
    assert finding.severity is severity
    assert finding.title
    assert finding.detail
    assert finding.remediation


def test_a_clean_home_is_told_nothing_but_what_it_is() -> None:
    assert set(found(CLEAN)) == {"summary.attack_surface"}


def test_an_empty_home_is_told_nothing_but_what_it_is() -> None:
    assert set(found(Facts())) == {"summary.attack_surface"}


def test_no_check_of_the_table_is_missing() -> None:
    assert LISTED - {row[0] for row in TABLE} == set()


@pytest.mark.parametrize("row", TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_no_finding_repeats_a_secret(row: tuple[str, Severity, Facts]) -> None:
    facts = row[2]
    said = str([one.to_json() for one in audit(facts, NOW).findings])
    for one in (facts.token, facts.password, facts.hooks_token):
        assert one is None or len(one) < 6 or one not in said
    assert "key=abc" not in said


def test_what_was_accepted_stands_aside_with_its_reason_until_it_has_run_out() -> None:
    accepted = {"checkId": "channels.open_dm", "reason": "a public bot", "until": "2026-12-01"}
    values = {
        "channels": {"qqbot": {"dmPolicy": "open"}},
        "security": {"audit": {"suppressions": [accepted]}},
    }
    report = audit(of(values), NOW)
    assert "channels.open_dm" not in {one.check_id for one in report.findings}
    ((finding, why),) = report.suppressed
    assert (finding.check_id, why.reason) == ("channels.open_dm", "a public bot")
    later = audit(of(values), NOW + timedelta(days=30))
    assert "channels.open_dm" in {one.check_id for one in later.findings}


def test_nothing_is_accepted_without_a_reason() -> None:
    values = {
        "channels": {"qqbot": {"dmPolicy": "open"}},
        "security": {"audit": {"suppressions": [{"checkId": "channels.open_dm", "reason": " "}]}},
    }
    assert "channels.open_dm" in {one.check_id for one in audit(of(values), NOW).findings}


def test_what_is_accepted_of_one_account_is_not_accepted_of_another() -> None:
    only = {"checkId": "channels.open_dm", "reason": "public", "detailIncludes": "telegram"}
    values = {"security": {"audit": {"suppressions": [only]}}}
    telegram = {**values, "channels": {"telegram": {"dmPolicy": "open"}}}
    qq = {**values, "channels": {"qqbot": {"dmPolicy": "open"}}}
    assert "channels.open_dm" not in found(of(telegram))
    assert "channels.open_dm" in found(of(qq))


def test_the_worst_stands_first_and_notes_are_not_among_the_top() -> None:
    report = audit(
        of({"gateway": {"auth": {"mode": "none"}}, "logging": {"redactSensitive": "off"}}), NOW
    )
    weights = [one.severity.weight for one in report.findings]
    assert weights == sorted(weights, reverse=True)
    assert [one.severity for one in report.top(2)] == [Severity.CRITICAL, Severity.WARN]
