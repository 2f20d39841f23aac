"""The command-line programs that answer turns without a word of config (operations.md §13.4).

Whoever names one of them under `agents.defaults.cliBackends` says all of it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from engine.config.schema import Config
from engine.config.schema.agents import CliBackend

NAMES: Final = ("claude-cli", "codex-cli", "gemini-cli", "echo")
_PRINTED: Final = ("-p", "--output-format", "json")
_UNASKED: Final = ("--json", "--color", "never", "--skip-git-repo-check")
_WRITTEN: Final[Mapping[str, Mapping[str, Any]]] = {
    "claude-cli": {
        "command": "claude",
        "args": _PRINTED,
        "resumeArgs": (*_PRINTED, "--resume", "{sessionId}"),
        "output": "json",
        "modelArg": "--model",
        "systemPromptArg": "--append-system-prompt",
        "systemPromptWhen": "first",
        "sessionArgs": ("--session-id", "{sessionId}"),
        "sessionMode": "always",
        "sessionIdFields": ("session_id", "sessionId"),
        "clearEnv": ("ANTHROPIC_API_KEY",),  # else it would not use the account it is logged in to
        "noOutputTimeoutSec": 600,
    },
    "codex-cli": {
        "command": "codex",
        "args": ("exec", *_UNASKED),
        "resumeArgs": ("exec", *_UNASKED, "resume", "{sessionId}"),
        "input": "arg",
        "output": "jsonl",
        "modelArg": "--model",
        "sessionMode": "existing",
        "sessionIdFields": ("thread_id", "session_id"),
        "noOutputTimeoutSec": 600,
    },
    "gemini-cli": {
        "command": "gemini",
        "args": ("--output-format", "json"),
        "output": "json",
        "modelArg": "--model",
        "noOutputTimeoutSec": 600,
    },
    "echo": {"command": "cat"},  # says what it was told: proves the way without a model
}


@cache
def _built_in() -> Mapping[str, CliBackend]:
    return {name: CliBackend.model_validate(_WRITTEN[name]) for name in NAMES}


def cli_backends(config: Config) -> dict[str, CliBackend]:
    """Return every program that may answer, the operator's own before those built in."""
    return {**_built_in(), **config.agents.defaults.cli_backends}
