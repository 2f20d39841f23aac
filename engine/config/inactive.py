"""Which credentials nobody will use, for what else the config says. Pure (operations.md §5).

What is switched off by an `enabled: false` around it is found where it stands
(`engine.config.resolve`); here is what only another key can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Unused = Mapping[str, str]  # path → why


def unused(config: Any, env: Mapping[str, str]) -> dict[str, str]:
    """Paths of credentials that are overridden, or belong to what is off, each with the reason."""
    found: dict[str, str] = {}
    gateway = _section(config, "gateway")
    auth = _section(gateway, "auth")
    mode = auth.get("mode")
    for kind in ("token", "password"):
        variable = f"ENGINE_GATEWAY_{kind.upper()}"
        if env.get(variable, "").strip():
            found[f"gateway.auth.{kind}"] = f"{variable} overrides it"
    if mode in ("none", "password", "trusted-proxy"):
        found["gateway.auth.token"] = f"gateway.auth.mode is {mode}"
    if mode in ("none", "token"):
        found["gateway.auth.password"] = f"gateway.auth.mode is {mode}"
    if gateway.get("mode") != "remote":
        for kind in ("token", "password"):
            found[f"gateway.remote.{kind}"] = "gateway.mode is not remote"
    if _section(config, "hooks").get("enabled") is not True:
        found["hooks.token"] = "hooks are switched off"
    return found


def _section(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}
