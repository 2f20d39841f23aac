"""Requests from outside that wake agents: their token, and how far they reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.config.variables import is_variable
from engine.security.facts import Facts, below
from engine.security.findings import Finding, Severity

_SHORTEST: Final = 24


def _finding(word: str, severity: Severity, title: str, detail: str, fix: str) -> Finding:
    return Finding(
        check_id=f"hooks.{word}", severity=severity, title=title, detail=detail, remediation=fix
    )


def token(facts: Facts) -> Iterator[Finding]:
    """`hooks.token_*`, `config.secrets.hooks_token_in_config`."""
    if not facts.on("hooks.enabled"):
        return
    given = facts.hooks_token
    if given and given in (facts.token, facts.password):
        yield _finding(
            "token_reuse_gateway_token",
            Severity.CRITICAL,
            "whoever may wake an agent may do everything",
            "hooks.token is the gateway's own credential",
            "give hooks a token of their own: engine config set hooks.token NEW",
        )
    if given and len(given) < _SHORTEST:
        yield _finding(
            "token_too_short",
            Severity.WARN,
            "whoever guesses the token of hooks wakes your agents",
            f"it has {len(given)} characters; {_SHORTEST} or more cannot be guessed",
            "engine config set hooks.token NEW",
        )
    written = below(facts.authored, "hooks.token")
    if isinstance(written, str) and written and not is_variable(written):
        yield Finding(
            check_id="config.secrets.hooks_token_in_config",
            severity=Severity.WARN,
            title="the token of hooks stands in the config file",
            detail="whoever reads the file, a backup of it or a paste has it",
            remediation="write ${ENGINE_HOOKS_TOKEN} and put the token into .env, or a reference",
        )


def reach(facts: Facts) -> Iterator[Finding]:
    """How far a request reaches: path, sessions, agents."""
    if not facts.on("hooks.enabled"):
        return
    if facts.get("hooks.path") is not None and not facts.text("hooks.path").strip("/"):
        yield _finding(
            "path_root",
            Severity.CRITICAL,
            "hooks take the root of the port",
            'hooks.path is "/": they stand before every other page',
            "engine config set hooks.path /hooks",
        )
    if not facts.text("hooks.defaultSessionKey"):
        yield _finding(
            "default_session_key_unset",
            Severity.WARN,
            "requests without a session get one each",
            "hooks.defaultSessionKey is not set: what they say is spread over conversations",
            "engine config set hooks.defaultSessionKey hook:ingress",
        )
    listed = facts.get("hooks.allowedAgentIds")
    if listed is None or "*" in facts.texts("hooks.allowedAgentIds"):
        yield _finding(
            "allowed_agent_ids_unrestricted",
            Severity.WARN,
            "requests may wake every agent",
            "hooks.allowedAgentIds does not name which",
            'engine config set hooks.allowedAgentIds ["main"]',
        )
    if facts.on("hooks.allowRequestSessionKey"):
        yield _finding(
            "request_session_key_enabled",
            Severity.WARN,
            "requests choose the conversation they speak in",
            "hooks.allowRequestSessionKey is on",
            "engine config unset hooks.allowRequestSessionKey",
        )
        if not facts.texts("hooks.allowedSessionKeyPrefixes"):
            yield _finding(
                "request_session_key_prefixes_missing",
                Severity.WARN,
                "requests may speak in any conversation, people's own too",
                "hooks.allowedSessionKeyPrefixes is empty",
                'engine config set hooks.allowedSessionKeyPrefixes ["hook:"]',
            )


CHECKS: Final = (token, reach)
