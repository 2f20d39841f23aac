"""Keys under `tools` and `plugins`: what agents may use."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from engine.config.schema.base import Count, Names, Positive, Section, Span, key, section, table


class ExecTool(Section):
    """Commands run for an agent."""

    host: Literal["auto", "sandbox", "gateway", "node"] = key(
        "auto", "Where they run; `sandbox` and `node` are not there, and nothing runs instead."
    )
    security: Literal["deny", "allowlist", "full"] = key(
        "deny",
        "What may run: nothing, single programs of `safeBins` without a shell, or every command.",
    )
    ask: Literal["off", "on-miss", "always"] = key(
        "on-miss",
        "When a person is asked first: never, about what is not on the list, or always"
        " (`engine approvals`).",
    )
    approval_within: Span = key(
        timedelta(hours=1), "How long their answer is waited for; then the command is not run."
    )
    safe_bins: Names = key((), "Programs of the allow-list, by name or path.")
    background_ms: Count = key(10_000, "After this a command goes to the background.", unit="ms")
    timeout_sec: Positive = key(1800, "Limit of one command.", unit="s")
    timeout_seconds: Positive | None = key(None, "Newer spelling of `timeoutSec`.", unit="s")
    cleanup_ms: int = key(
        1_800_000,
        "How long an ended background command is remembered.",
        unit="ms",
        ge=60_000,
        le=10_800_000,
    )
    max_output_chars: Positive = key(
        200_000, "The newest output kept of one command.", unit="chars"
    )
    pending_max_output_chars: Positive = key(
        30_000, "The most handed out by one poll.", unit="chars"
    )
    path_prepend: Names = key((), "Directories put before PATH.")
    notify_on_exit: bool = key(True, "Wake the agent when a background command ends.")
    notify_on_exit_empty_success: bool = key(False, "Also when it succeeded and printed nothing.")


class FsTool(Section):
    """Files."""

    workspace_only: bool = key(True, "Agents reach only their workspace.")


Profile = Literal["minimal", "coding", "messaging", "full"]


class ToolRules(Section):
    """Rules of one place; entries are tools or groups such as `group:fs`."""

    profile: Profile | None = key(None, "Named set of tools; full when unset.")
    allow: Names | None = key(None, "Only these tools; all when unset or empty.")
    also_allow: Names = key((), "These besides the profile.")
    deny: Names = key((), "Never these tools.")


class Tools(ToolRules):
    """Which tools agents have."""

    by_provider: dict[str, ToolRules] = table("Rules for models of one provider, by its id.")
    exec: ExecTool = section(ExecTool, "Commands.")
    fs: FsTool = section(FsTool, "Files.")


class Plugins(Section):
    """Channels and agents from other packages."""

    enabled: bool = key(True, "Load plugins.")
    allow: Names = key((), "Only these plugins; all when empty.")
    deny: Names = key((), "Never these plugins.")

    def bars(self, name: str) -> str:
        """Return the key that keeps a plugin out; nothing if none does."""
        if not self.enabled:
            return "plugins.enabled is false"
        if name in {one.strip().lower() for one in self.deny}:
            return "plugins.deny names it"
        if self.allow and name not in {one.strip().lower() for one in self.allow}:
            return "plugins.allow does not name it"
        return ""
