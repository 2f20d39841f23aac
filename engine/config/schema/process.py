"""Keys of the process: its database, logs and environment, and the stamp of the file."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from engine.config.schema.base import Names, Positive, Section, key, section, table
from engine.config.secrets import Secret
from engine.log.redaction import compiled


class Store(Section):
    """The state database."""

    url: Secret | None = key(None, "SQLAlchemy URL; <state>/state.db when unset.")


class Logging(Section):
    """Logs."""

    level: Literal["silent", "fatal", "error", "warn", "info", "debug", "trace"] = key(
        "info", "What goes to the file."
    )
    console_level: Literal["silent", "fatal", "error", "warn", "info", "debug", "trace"] = key(
        "info", "What goes to the console."
    )
    console_style: Literal["pretty", "compact", "json"] = key("pretty", "How the console looks.")
    file: str | None = key(
        None, "One file, beside the others unless it is a path; a file a day when unset."
    )
    max_file_bytes: Positive = key(104_857_600, "Size that starts a new file.", unit="bytes")
    retention_days: Positive = key(14, "Days files are kept.", unit="d")
    redact_sensitive: Literal["off", "tools"] = key(
        "tools", "Hide what looks like a secret; `off` hides the secrets of the config only."
    )
    redact_patterns: Names | None = key(
        None, "Regular expressions that replace the built-in ones; a group is what is hidden."
    )

    @field_validator("redact_patterns")
    @classmethod
    def _are_patterns(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for one in value or ():
            compiled(one)
        return value


class ShellEnv(Section):
    """Import from the login shell."""

    enabled: bool = key(False, "Ask the login shell for missing keys.")
    timeout_ms: Positive = key(15_000, "Limit of the shell.", unit="ms")


class Env(Section):
    """Environment variables for `${NAME}` and providers; nothing overrides an existing one."""

    vars: dict[str, str] = table("Variables.")
    shell_env: ShellEnv = section(ShellEnv, "Import from the login shell.")

    @model_validator(mode="before")
    @classmethod
    def _loose_names(cls, value: Any) -> Any:
        """`env.KEY` is short for `env.vars.KEY`."""
        if not isinstance(value, dict):
            return value
        loose = {k: v for k, v in value.items() if k not in ("vars", "shellEnv")}
        if not loose:
            return value
        kept = {k: v for k, v in value.items() if k not in loose}
        given = kept.get("vars")
        return {**kept, "vars": {**loose, **(given if isinstance(given, dict) else {})}}


class Meta(Section):
    """Stamp of the last write; ours to set."""

    last_touched_version: str | None = key(None, "Version that wrote the file last.")
    last_touched_at: str | None = key(None, "When it did.")
