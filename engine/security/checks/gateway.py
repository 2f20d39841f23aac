"""The port: who may connect, from where, and what a proxy in front of it is believed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from engine.config.variables import is_variable
from engine.security.facts import Facts, below
from engine.security.findings import Finding, SetKey, Severity

SHORTEST: Final = 24  # characters of a token
_WIDE: Final = 100  # wrong credentials a minute that are no limit at all
_SAMPLES: Final = frozenset(
    {
        *("your-gateway-password", "your-gateway-token", "your-token", "your-token-here"),
        *("your_token_here", "your-secure-token", "your-password", "your-password-here"),
        *("changeme", "change-me", "change_me", "placeholder", "example", "example-token"),
        *("secret", "password", "passwd", "token", "test", "testtoken", "test-token", "admin"),
        *("replace-me", "replaceme", "todo", "xxx", "xxxx", "123456", "12345678", "letmein"),
    }
)
_TOOLS_ABROAD: Final = frozenset(
    {"exec", "bash", "process", "write", "edit", "apply_patch", "cron", "gateway",
     "sessions_spawn", "sessions_send", "nodes", "whatsapp_login"}
)  # fmt: skip
_NODE_DANGER: Final = frozenset(
    {"camera.snap", "camera.clip", "screen.record", "screen.snap", "audio.record", "location.get",
     "contacts.add", "contacts.list", "calendar.add", "reminders.add", "sms.send", "sms.search",
     "system.run", "system.run.prepare", "browser.proxy"}
)  # fmt: skip
_FLAGS: Final = (
    "gateway.controlUi.allowInsecureAuth",
    "gateway.controlUi.dangerouslyAllowHostHeaderOriginFallback",
    "gateway.controlUi.dangerouslyDisableDeviceAuth",
    "hooks.gmail.allowUnsafeExternalContent",
    "agents.defaults.sandbox.docker.dangerouslyAllowReservedContainerTargets",
    "agents.defaults.sandbox.docker.dangerouslyAllowExternalBindSources",
    "agents.defaults.sandbox.docker.dangerouslyAllowContainerNamespaceJoin",
    "browser.ssrfPolicy.dangerouslyAllowPrivateNetwork",
)


def _finding(
    check_id: str,
    severity: Severity,
    title: str,
    detail: str,
    remediation: str,
    *fixes: SetKey,
) -> Finding:
    return Finding(
        check_id=check_id,
        severity=severity,
        title=title,
        detail=detail,
        remediation=remediation,
        fixes=fixes,
    )


def door(facts: Facts) -> Iterator[Finding]:
    """`gateway.bind_no_auth`, `gateway.loopback_no_auth`, `gateway.auth_no_rate_limit`."""
    if facts.open_door and facts.exposed:
        yield _finding(
            "gateway.bind_no_auth",
            Severity.CRITICAL,
            "anybody who reaches the port may do everything",
            f"gateway.bind is {facts.bind} and gateway.auth.mode is {facts.auth_mode}",
            "engine config set gateway.auth.mode token",
        )
    elif facts.open_door:
        yield _finding(
            "gateway.loopback_no_auth",
            Severity.CRITICAL,
            "any program and any user of this machine may do everything",
            f"gateway.auth.mode is {facts.auth_mode}; a proxy in front would let in the world",
            "engine config set gateway.auth.mode token",
        )
    if facts.exposed and (why := _no_limit(facts)):
        yield _finding(
            "gateway.auth_no_rate_limit",
            Severity.WARN,
            "wrong credentials may be tried without end",
            why,
            "engine config unset gateway.auth.rateLimit",
            SetKey(
                path="gateway.auth.rateLimit",
                value={"maxAttempts": 10, "windowMs": 60_000, "lockoutMs": 300_000},
                needs_yes=True,
            ),
        )


def _no_limit(facts: Facts) -> str:
    """Why the rate limit limits nothing; ours is on unless somebody widened it."""
    most = facts.get("gateway.auth.rateLimit.maxAttempts", 10)
    window = facts.get("gateway.auth.rateLimit.windowMs", 60_000)
    lockout = facts.get("gateway.auth.rateLimit.lockoutMs", 300_000)
    if not all(isinstance(one, int) and one > 0 for one in (most, window, lockout)):
        return ""
    if most * 60_000 / window > _WIDE:
        return f"gateway.auth.rateLimit lets {most} tries pass every {window} ms"
    return f"gateway.auth.rateLimit.lockoutMs is {lockout}" if lockout < 1000 else ""


def secrets(facts: Facts) -> Iterator[Finding]:
    """`gateway.token_too_short`, `gateway.token_placeholder`, `…gateway_password_in_config`."""
    mode = facts.auth_mode
    given = {"token": facts.token, "password": facts.password}.get(mode)
    if given and given.strip().lower() in _SAMPLES:
        yield _finding(
            "gateway.token_placeholder",
            Severity.CRITICAL,
            f"the gateway's {mode} is a sample out of a manual",
            f"gateway.auth.{mode} is a word everybody tries first",
            "engine token rotate" if mode == "token" else "set another gateway.auth.password",
        )
    elif given and mode == "token" and len(given) < SHORTEST:
        yield _finding(
            "gateway.token_too_short",
            Severity.WARN,
            "the gateway's token is short",
            f"it has {len(given)} characters; {SHORTEST} or more cannot be guessed",
            "engine token rotate",
        )
    written = below(facts.authored, "gateway.auth.password")
    if isinstance(written, str) and written and not is_variable(written):
        yield _finding(
            "config.secrets.gateway_password_in_config",
            Severity.WARN,
            "the gateway's password stands in the config file",
            "whoever reads the file, a backup of it or a paste has it",
            "put it into the environment: write ${ENGINE_GATEWAY_PASSWORD}, or a reference",
        )


def http(facts: Facts) -> Iterator[Finding]:
    """`gateway.http.*`, `gateway.tools_invoke_http.dangerous_allow`."""
    served = [
        name
        for name in ("chatCompletions", "responses")
        if facts.on(f"gateway.http.endpoints.{name}.enabled")
    ]
    if facts.open_door:
        yield _finding(
            "gateway.http.no_auth",
            Severity.CRITICAL if facts.exposed else Severity.WARN,
            "HTTP requests need no credential",
            f"/tools/invoke{''.join(f', {one}' for one in served)} answer anybody who reaches them",
            "engine config set gateway.auth.mode token",
        )
    if served:
        yield _finding(
            "gateway.http.session_key_override_enabled",
            Severity.INFO,
            "HTTP callers choose the conversation they continue",
            f"{', '.join(served)} accept a session-key header from whoever has the token",
            "engine config set gateway.http.endpoints.chatCompletions.enabled false",
        )
    named = sorted(_TOOLS_ABROAD & {one.lower() for one in facts.texts("gateway.tools.allow")})
    if named:
        yield _finding(
            "gateway.tools_invoke_http.dangerous_allow",
            Severity.CRITICAL if facts.exposed else Severity.WARN,
            "HTTP callers may use tools that change things",
            f"gateway.tools.allow names {', '.join(named)}",
            f"take {named[0]} out of gateway.tools.allow",
        )


def proxy(facts: Facts) -> Iterator[Finding]:
    """`gateway.trusted_prox*`, `gateway.real_ip_fallback_enabled`."""
    proxies = facts.texts("gateway.trustedProxies")
    if facts.auth_mode == "trusted-proxy":
        yield from _trusted(facts, proxies)
    elif not proxies and not facts.exposed and _foreign_origins(facts):
        yield _finding(
            "gateway.trusted_proxies_missing",
            Severity.WARN,
            "a proxy seems to stand before the gateway, and it is not known",
            "gateway.controlUi.allowedOrigins names other hosts, gateway.trustedProxies is empty:"
            " all of its callers count as one",
            'engine config set gateway.trustedProxies ["127.0.0.1"]',
        )
    if facts.on("gateway.allowRealIpFallback"):
        yield _finding(
            "gateway.real_ip_fallback_enabled",
            Severity.CRITICAL if facts.exposed else Severity.WARN,
            "X-Real-IP says who a caller is",
            "gateway.allowRealIpFallback: a proxy that passes the header on lets callers forge it",
            "engine config unset gateway.allowRealIpFallback",
        )


def _trusted(facts: Facts, proxies: tuple[str, ...]) -> Iterator[Finding]:
    rule = "gateway.auth.trustedProxy"
    yield _finding(
        "gateway.trusted_proxy_auth",
        Severity.CRITICAL,
        "who connects is what a proxy says",
        "gateway.auth.mode is trusted-proxy: whoever can reach the port past the proxy, or make it"
        " pass their header on, is anybody",
        "keep the port reachable for the proxy only, and let it overwrite the user header",
    )
    if not proxies:
        yield _finding(
            "gateway.trusted_proxy_no_proxies",
            Severity.CRITICAL,
            "no proxy is named",
            "gateway.trustedProxies is empty",
            'engine config set gateway.trustedProxies ["10.0.0.1"]',
        )
    if not facts.text(f"{rule}.userHeader"):
        yield _finding(
            "gateway.trusted_proxy_no_user_header",
            Severity.CRITICAL,
            "no header names the user",
            f"{rule}.userHeader is not set",
            f"engine config set {rule}.userHeader x-forwarded-user",
        )
    if not facts.texts(f"{rule}.allowUsers"):
        yield _finding(
            "gateway.trusted_proxy_no_allowlist",
            Severity.WARN,
            "every user the proxy knows may do everything",
            f"{rule}.allowUsers is empty",
            f'engine config set {rule}.allowUsers ["you@example.org"]',
        )
    if facts.on(f"{rule}.allowLoopback"):
        yield _finding(
            "gateway.trusted_proxy_allow_loopback",
            Severity.WARN,
            "programs of this machine may say who they are",
            f"{rule}.allowLoopback is on",
            f"engine config unset {rule}.allowLoopback",
        )
    elif not facts.exposed:
        yield _finding(
            "gateway.trusted_proxies_missing",
            Severity.WARN,
            "the proxy cannot reach the port",
            f"gateway.bind is {facts.bind}, and a proxy on this host is refused without"
            f" {rule}.allowLoopback",
            "engine config set gateway.bind lan",
        )


def _foreign_origins(facts: Facts) -> list[str]:
    own = ("localhost", "127.0.0.1", "[::1]")
    listed = facts.texts("gateway.controlUi.allowedOrigins")
    return [one for one in listed if "://" in one and not any(name in one for name in own)]


def page(facts: Facts) -> Iterator[Finding]:
    """`gateway.control_ui.*`."""
    if not facts.on("gateway.controlUi.enabled", default=True):
        return
    origins = facts.texts("gateway.controlUi.allowedOrigins")
    grave = Severity.CRITICAL if facts.exposed else Severity.WARN
    if facts.exposed and not origins:
        yield _finding(
            "gateway.control_ui.allowed_origins_required",
            Severity.WARN,
            "no page but one on a private address may connect",
            "the port can be reached from outside and gateway.controlUi.allowedOrigins is empty",
            'engine config set gateway.controlUi.allowedOrigins ["https://engine.example.org"]',
        )
    if "*" in origins:
        yield _finding(
            "gateway.control_ui.allowed_origins_wildcard",
            grave,
            "any page in a browser may connect",
            'gateway.controlUi.allowedOrigins holds "*"',
            'engine config set gateway.controlUi.allowedOrigins ["https://engine.example.org"]',
        )
    if facts.on("gateway.controlUi.dangerouslyAllowHostHeaderOriginFallback"):
        yield _finding(
            "gateway.control_ui.host_header_origin_fallback",
            grave,
            "the Host header decides which page may connect",
            "gateway.controlUi.dangerouslyAllowHostHeaderOriginFallback is on; it has no effect"
            " here, and would open the reference product to rebinding",
            "take the switch out of the config file",
        )


def nodes(facts: Facts) -> Iterator[Finding]:
    """`gateway.nodes.*`."""
    deny = (*facts.texts("gateway.nodes.denyCommands"), *facts.texts("gateway.nodes.commands.deny"))
    vain = [one for one in deny if any(sign in one for sign in "*? ") or "." not in one]
    if vain:
        yield _finding(
            "gateway.nodes.deny_commands_ineffective",
            Severity.WARN,
            "some denied commands deny nothing",
            f"gateway.nodes.denyCommands holds {', '.join(vain)}: names are compared whole, such"
            " as system.run",
            "write the exact names of commands",
        )
    allow = {
        *facts.texts("gateway.nodes.allowCommands"),
        *facts.texts("gateway.nodes.commands.allow"),
    }
    if grave := sorted(allow & _NODE_DANGER):
        yield _finding(
            "gateway.nodes.allow_commands_dangerous",
            Severity.WARN,
            "nodes may be told to do what their owner would want to be asked about",
            f"gateway.nodes.allowCommands names {', '.join(grave)}",
            "engine config unset gateway.nodes.allowCommands",
        )


def reach(facts: Facts) -> Iterator[Finding]:
    """`gateway.tailscale_*`, `discovery.mdns_full_mode`."""
    match facts.text("gateway.tailscale.mode"):
        case "funnel":
            yield _finding(
                "gateway.tailscale_funnel",
                Severity.CRITICAL,
                "the whole internet reaches the port",
                "gateway.tailscale.mode is funnel",
                "engine config set gateway.tailscale.mode serve",
            )
        case "serve":
            yield _finding(
                "gateway.tailscale_serve",
                Severity.INFO,
                "every device of the tailnet reaches the port",
                "gateway.tailscale.mode is serve",
                "engine config set gateway.tailscale.mode off",
            )
        case _:
            pass
    if facts.text("discovery.mdns.mode") == "full":
        yield _finding(
            "discovery.mdns_full_mode",
            Severity.WARN,
            "the local network is told where programs lie and how to log in",
            "discovery.mdns.mode is full",
            "engine config set discovery.mdns.mode minimal",
        )


def flags(facts: Facts) -> Iterator[Finding]:
    """`config.insecure_or_dangerous_flags`: switches whose name says what they do."""
    found = [path for path in _FLAGS if facts.on(path)]
    found += [path for path, _ in _mappings(facts)]
    if found:
        yield _finding(
            "config.insecure_or_dangerous_flags",
            Severity.WARN,
            "switches that take a protection away are on",
            ", ".join(found),
            f"take {found[0]} out of the config file",
        )


def _mappings(facts: Facts) -> Iterator[tuple[str, Mapping[str, Any]]]:
    listed = facts.get("hooks.mappings", ())
    for n, one in enumerate(listed if isinstance(listed, list | tuple) else ()):
        if isinstance(one, Mapping) and one.get("allowUnsafeExternalContent") is True:
            yield f"hooks.mappings[{n}].allowUnsafeExternalContent", one


def probed(facts: Facts) -> Iterator[Finding]:
    """`gateway.probe_failed`, `gateway.probe_auth_secretref_unavailable` (`--deep`)."""
    probe = facts.probe
    if probe is None:
        return
    if probe.credential_unresolved:
        yield _finding(
            "gateway.probe_auth_secretref_unavailable",
            Severity.WARN,
            "the running gateway was not asked: its credential could not be read here",
            probe.detail,
            "engine secrets audit --allow-exec",
        )
    elif not probe.ok:
        yield _finding(
            "gateway.probe_failed",
            Severity.WARN,
            "the running gateway was not reached, so what it really does is not known",
            probe.detail,
            "engine gateway status",
        )


CHECKS: Final = (door, secrets, http, proxy, page, nodes, reach, flags, probed)
