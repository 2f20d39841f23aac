"""What one key cannot know about another: zones, windows, targets, accounts, bindings."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Final

from engine.config import effective
from engine.config.checks import channels, heartbeats, models, plugged, tools
from engine.config.checks.findings import Check
from engine.config.json5 import Node
from engine.config.schema import Config


def run(config: Config, root: Node, *, partial: bool = False, credentials: bool = False) -> Check:
    """Every cross-check, in the order of the file's sections.

    ``partial``: parts of the file were taken out because they are wrong in themselves; only
    what does not look across sections is judged, so that nothing is blamed on the gap.
    """
    check = Check(config, root)
    for step in (heartbeats.zones, heartbeats.blocks) if partial else _STEPS:
        step(check)
    if credentials and not partial:
        channels.credentials(check)
    return check


def _agents(check: Check) -> None:
    seen: dict[str, int] = {}
    for n, agent in enumerate(check.config.agents.list):
        name = agent.id.lower()
        if name in seen:
            check.refuse(
                ("agents", "list", n, "id"), f'agent id "{agent.id}" is used twice', "duplicate"
            )
        seen.setdefault(name, n)
    marked = [n for n, a in enumerate(check.config.agents.list) if a.default]
    if len(marked) > 1:
        check.refuse(("agents", "list", marked[1], "default"), "only one agent can be the default")


def _bindings(check: Check) -> None:
    for n, binding in enumerate(check.config.bindings):
        if effective.find_agent(check.config, binding.agent_id) is None:
            known = ", ".join(a.id for a in effective.agents(check.config))
            check.refuse(
                ("bindings", n, "agentId"), f'no agent "{binding.agent_id}" (there is {known})'
            )


def _gateway(check: Check) -> None:
    gateway = check.config.gateway
    if gateway.bind == "custom" and not gateway.custom_bind_host:
        check.refuse(("gateway", "bind"), "custom needs gateway.customBindHost")
    auth = gateway.auth
    if auth.mode is None and auth.token and auth.password:
        check.refuse(
            ("gateway", "auth"),
            'token and password are both set: set mode to "token" or "password"',
        )
    if auth.mode == "trusted-proxy" and not (auth.trusted_proxy and auth.trusted_proxy.user_header):
        check.refuse(("gateway", "auth", "mode"), "trusted-proxy needs trustedProxy.userHeader")
    for n, word in enumerate(gateway.trusted_proxies):
        try:
            ip_network(word.strip(), strict=False)
        except ValueError:
            check.refuse(
                ("gateway", "trustedProxies", n),
                f"{word!r} is no address and no block, such as 10.0.0.1 or 10.0.0.0/8",
            )


def _hooks(check: Check) -> None:
    hooks = check.config.hooks
    if hooks.path.strip("/") == "":
        check.refuse(("hooks", "path"), 'the path cannot be "/"; use /hooks')
    if not hooks.enabled:
        return
    if not hooks.token:
        check.refuse(("hooks", "enabled"), "hooks need hooks.token")
    elif hooks.token.value and hooks.token == check.config.gateway.auth.token:
        check.refuse(("hooks", "token"), "must differ from gateway.auth.token")
    elif hooks.token.value and len(hooks.token.value) < _LONG_ENOUGH:
        check.warn(
            ("hooks", "token"),
            "hooks.token_too_short",
            f"hooks.token is short: whoever guesses it wakes your agents; use {_LONG_ENOUGH}"
            " characters or more",
        )
    if hooks.allow_request_session_key and not hooks.allowed_session_key_prefixes:
        check.warn(
            ("hooks", "allowRequestSessionKey"),
            "hooks.request_session_key_prefixes_missing",
            "requests may name any session: set hooks.allowedSessionKeyPrefixes",
        )
    served = {agent.id.lower() for agent in effective.agents(check.config)}
    for n, mapping in enumerate(hooks.mappings):
        if mapping.agent_id is not None and mapping.agent_id.lower() not in served:
            known = ", ".join(sorted(served))
            check.refuse(
                ("hooks", "mappings", n, "agentId"),
                f'no agent "{mapping.agent_id}" (there is {known})',
            )
        if not (mapping.id or mapping.match.path or mapping.match.source):
            check.refuse(("hooks", "mappings", n), "needs an id, match.path or match.source")


_LONG_ENOUGH: Final = 24  # characters of a token of hooks


_STEPS: Final[tuple[Callable[[Check], None], ...]] = (
    heartbeats.zones,
    _agents,
    heartbeats.blocks,
    heartbeats.recipients,
    heartbeats.shadows,
    models.apis,
    models.refs,
    tools.names,
    _bindings,
    channels.accounts,
    plugged.sections,
    channels.mention_patterns,
    _gateway,
    _hooks,
)
