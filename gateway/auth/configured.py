"""The policy a config asks for, or why no gateway starts with it (operations.md §6, §13.5)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.config.schema import Config
from gateway.auth.policy import Mode, Policy
from gateway.auth.proxy import Networks, ProxyRule
from gateway.protocol.address import is_loopback
from jobs.errors import ConfigInvalid, OwnershipRefused
from jobs.wallclock import MILLISECOND

log = logging.getLogger(__name__)

SHORTEST_SECRET: Final = 16  # beyond this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """The secrets of the call, the environment, the config and the file, resolved."""

    token: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    named: bool = False  # somebody gave the token: it is not that of the file


def policy(config: Config, shared: Shared) -> Policy:
    """Who may connect."""
    auth = config.gateway.auth
    limit = auth.rate_limit
    mode = mode_of(config, shared)
    return Policy(
        mode=mode,
        token=shared.token,
        password=shared.password,
        proxy=_proxy(config) if mode is Mode.TRUSTED_PROXY else None,
        proxies=_networks(config),
        allowed_origins=config.gateway.control_ui.allowed_origins,
        auto_approve_local=config.gateway.nodes.pairing.auto_approve_local,
        max_failures=limit.max_attempts,
        window=limit.window_ms * MILLISECOND,
        lockout=limit.lockout_ms * MILLISECOND,
        exempt_loopback=limit.exempt_loopback,
    )


def mode_of(config: Config, shared: Shared) -> Mode:
    """The mode the config names, or the one that follows from what was given."""
    auth = config.gateway.auth
    if auth.mode is not None:
        return Mode(auth.mode)
    if auth.trusted_proxy is not None:
        return Mode.TRUSTED_PROXY
    if shared.named and shared.password:
        raise ConfigInvalid(
            "the gateway was not started",
            why="a token and a password are both set, and no mode says which one is asked for",
            fix="engine config set gateway.auth.mode token",
        )
    return Mode.PASSWORD if shared.password else Mode.TOKEN


def _proxy(config: Config) -> ProxyRule:
    """The rule of `trusted-proxy`; a mode nobody could pass, or anybody, starts no gateway."""
    gateway = config.gateway
    rule = gateway.auth.trusted_proxy
    if rule is None or not (rule.user_header or "").strip():
        raise _refused("no header names the user", "gateway.auth.trustedProxy.userHeader x-user")
    if not gateway.trusted_proxies:
        raise _refused("gateway.trustedProxies is empty", 'gateway.trustedProxies ["10.0.0.1"]')
    if gateway.auth.token:
        raise ConfigInvalid(
            "the gateway was not started",
            why="gateway.auth.mode is trusted-proxy and gateway.auth.token is set:"
            " whoever knew the token would go round the proxy (mixed_trusted_proxy_token)",
            fix="engine config unset gateway.auth.token",
        )
    return ProxyRule(
        user_header=(rule.user_header or "").strip(),
        required_headers=rule.required_headers,
        allow_users=frozenset(rule.allow_users),
        allow_loopback=rule.allow_loopback,
    )


def _refused(why: str, key: str) -> ConfigInvalid:
    return ConfigInvalid(
        "the gateway was not started",
        why=f"gateway.auth.mode is trusted-proxy, and {why}",
        fix=f"engine config set {key}",
    )


def _networks(config: Config) -> Networks:
    real_ip = config.gateway.allow_real_ip_fallback
    try:
        return Networks.of(config.gateway.trusted_proxies, real_ip=real_ip)
    except ValueError as error:
        raise ConfigInvalid(
            "gateway.trustedProxies was not understood",
            why=str(error),
            fix="write addresses and blocks, such as 10.0.0.1 or 10.0.0.0/8",
        ) from error


def tell_weak(found: Policy) -> None:
    """Log that a secret is easily guessed; on this machine that keeps no gateway from starting."""
    secret = found.token if found.mode is Mode.TOKEN else found.password
    asked = found.mode in (Mode.TOKEN, Mode.PASSWORD)
    if asked and secret and len(secret) < SHORTEST_SECRET:
        log.warning("the gateway's %s is shorter than 16 characters", found.mode.value)


def refuse_shared(config: Config, found: Policy) -> None:
    """Whoever may wake an agent is not thereby let in: hooks have a token of their own (§11)."""
    hooks = config.hooks
    if not hooks.enabled or hooks.token is None:
        return
    shown = hooks.token.reveal()
    mine = {"token": found.token, "password": found.password}
    if (which := next((kind for kind, one in mine.items() if one == shown), None)) is not None:
        raise ConfigInvalid(
            "the gateway does not run with this config",
            why=f"hooks.token is the gateway's own {which}",
            fix="give hooks a token of their own: engine config set hooks.token NEW",
        )


_AUTH: Final = {
    Mode.NONE: "engine config set gateway.auth.mode token",
    Mode.TOKEN: "engine doctor --generate-gateway-token",
    Mode.PASSWORD: "engine config set gateway.auth.password NEW",
}


def refuse_open(hosts: Sequence[str], wish: str, found: Policy) -> None:
    """Beyond this machine nobody is let in without a secret worth the name (§6.2)."""
    beyond = [host for host in hosts if not is_loopback(host)]
    secret = {Mode.TOKEN: found.token, Mode.PASSWORD: found.password}.get(found.mode) or ""
    if not beyond or found.mode is Mode.TRUSTED_PROXY:
        return
    if not secret:
        none = found.mode is Mode.NONE
        raise OwnershipRefused(
            f"refusing to bind gateway to {wish} ({beyond[0]}) without auth",
            why="gateway.auth.mode is none" if none else "",
            fix=_AUTH[found.mode],
        )
    if len(secret) < SHORTEST_SECRET:
        raise OwnershipRefused(
            f"refusing to bind gateway to {wish} ({beyond[0]}) with a short {found.mode.value}",
            why=f"it has {len(secret or '')} characters; {SHORTEST_SECRET} are the least",
            fix="engine token rotate"
            if found.mode is Mode.TOKEN
            else "engine config set gateway.auth.password, to something longer",
        )
