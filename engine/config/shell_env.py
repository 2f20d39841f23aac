"""What the login shell of the operator knows, where nothing else does (operations.md §2.5).

Only names the config asks for and nobody has set are looked up; the shell has 15 seconds. What it
prints besides is not kept.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from engine.config.json5 import Node
from engine.config.variables import names

SWITCH: Final = "ENGINE_LOAD_SHELL_ENV"
ORIGIN: Final = "login shell"
TIMEOUT_MS: Final = 15_000
# Keys of providers that are looked for even where no `${NAME}` names them.
PROVIDERS: Final = (
    "ANTHROPIC_API_KEY", "OPENROUTER_API_KEY", "OPENAI_API_KEY", "GROQ_API_KEY", "GEMINI_API_KEY",
)  # fmt: skip


def wanted(block: Any, environ: Mapping[str, str]) -> int | None:
    """How many milliseconds the shell has, by `env.shellEnv` or the variable; None: not asked."""
    shell = block.get("shellEnv") if isinstance(block, Mapping) else None
    given = shell if isinstance(shell, Mapping) else {}
    if given.get("enabled") is not True and environ.get(SWITCH, "").strip() != "1":
        return None
    limit = given.get("timeoutMs")
    return limit if isinstance(limit, int) and limit > 0 else TIMEOUT_MS


def expected(root: Node) -> Iterator[str]:
    """The variables a config names, in texts and in references to secrets."""
    if root.kind == "scalar":
        if isinstance(root.value, str):
            yield from names(root.value)
        return
    source, ident = root.member("source"), root.member("id")
    if source is not None and ident is not None and source.node.value == "env":
        yield str(ident.node.value)
    for member in root.members:
        yield from expected(member.node)
    for item in root.items:
        yield from expected(item)


def imported(missing: Collection[str], environ: Mapping[str, str], limit_ms: int) -> dict[str, str]:
    """Ask the login shell for these; nothing where it does not answer."""
    if not missing:
        return {}
    shell = environ.get("SHELL", "").strip() or "/bin/sh"
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own shell, with words of ours
            [shell, "-l", "-c", "env -0"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environ),
            timeout=limit_ms / 1000,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = (row.partition("=") for row in done.stdout.decode("utf-8", "replace").split("\0"))
    return {name: value for name, _, value in rows if name in missing and value}
