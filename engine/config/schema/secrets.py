"""Keys under `secrets`: where references to secrets lead (operations.md §5)."""

from __future__ import annotations

from typing import Literal

from engine.config.schema.base import Names, Positive, Section, key, section, table


class SecretProvider(Section):
    """One place secrets are kept."""

    source: Literal["env", "file", "exec"] = key(..., "env, file or exec.")
    allowlist: Names | None = key(None, "env: names that may be read.")
    path: str | None = key(None, "file: the file.")
    mode: Literal["json", "singleValue"] = key(
        "json", "file: JSON pointer, or the whole file (id `value`)."
    )
    max_bytes: Positive = key(1_048_576, "file: largest file.", unit="bytes")
    timeout_ms: Positive = key(5000, "Limit of one request.", unit="ms")
    allow_insecure_path: bool = key(False, "Accept a path that others may write.")
    command: str | None = key(None, "exec: absolute path of the program.")
    args: Names = key((), "exec: arguments.")
    env: dict[str, str] = table("exec: environment.")
    pass_env: Names = key((), "exec: variables passed on besides PATH.")
    no_output_timeout_ms: Positive | None = key(None, "exec: limit of silence.", unit="ms")
    max_output_bytes: Positive = key(1_048_576, "exec: largest answer.", unit="bytes")
    json_only: bool = key(
        True, "exec: the answer is JSON; false: the text is the secret (id `value`)."
    )
    trusted_dirs: Names = key((), "exec: directories the program may lie in.")
    allow_symlink_command: bool = key(False, "exec: the program may be a symlink into trustedDirs.")


class SecretDefaults(Section):
    """Provider of references that name none."""

    env: str | None = key(None, "Provider of env references.")
    file: str | None = key(None, "Provider of file references.")
    exec: str | None = key(None, "Provider of exec references.")


class SecretResolution(Section):
    """Limits of resolution."""

    max_provider_concurrency: Positive = key(4, "Providers asked at once.")
    max_refs_per_provider: Positive = key(512, "References per provider.")
    max_batch_bytes: Positive = key(262_144, "Largest request.", unit="bytes")


class Secrets(Section):
    """Where secrets are kept."""

    providers: dict[str, SecretProvider] = table("Places by alias.")
    defaults: SecretDefaults = section(SecretDefaults, "Provider when a reference names none.")
    resolution: SecretResolution = section(SecretResolution, "Limits.")
