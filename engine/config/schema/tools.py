"""Keys under `tools` and `plugins`: what agents may use."""

from __future__ import annotations

from typing import Literal

from engine.config.schema.base import Count, Names, Positive, Section, key, section


class ExecTool(Section):
    """Commands run for an agent."""

    host: Literal["auto", "sandbox", "gateway", "node"] = key("auto", "Where they run.")
    security: Literal["deny", "allowlist", "full"] = key("deny", "What may run.")
    ask: Literal["off", "on-miss", "always"] = key("on-miss", "When a person is asked.")
    safe_bins: Names = key((), "Programs that may always run.")
    background_ms: Count = key(10_000, "After this a command goes to the background.", unit="ms")
    timeout_sec: Positive = key(1800, "Limit of one command.", unit="s")
    timeout_seconds: Positive | None = key(None, "Newer spelling of `timeoutSec`.", unit="s")
    path_prepend: Names = key((), "Directories put before PATH.")
    notify_on_exit: bool = key(True, "Wake the agent when a background command ends.")
    notify_on_exit_empty_success: bool = key(False, "Also when it succeeded and printed nothing.")


class FsTool(Section):
    """Files."""

    workspace_only: bool = key(True, "Agents reach only their workspace.")


class Tools(Section):
    """Which tools agents have."""

    profile: Literal["minimal", "coding", "messaging", "full"] | None = key(
        None, "Named set of tools; full when unset."
    )
    allow: Names | None = key(None, "Only these tools.")
    also_allow: Names = key((), "These besides the profile.")
    deny: Names = key((), "Never these tools.")
    exec: ExecTool = section(ExecTool, "Commands.")
    fs: FsTool = section(FsTool, "Files.")


class Plugins(Section):
    """Channels and agents from other packages."""

    enabled: bool = key(True, "Load plugins.")
    allow: Names = key((), "Only these plugins.")
    deny: Names = key((), "Never these plugins.")
