"""May an agent run this command? Pure; what stands on PATH is looked up by the caller.

operations.md §13.1. What needs a person's yes says so and is asked for elsewhere
(`engine.talk.approvals`). Under an allow-list no shell is involved: what a shell would make of the
words cannot be told from them. A person who allows a line has read it as it stands: it runs so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

DENIED: Final = "SYSTEM_RUN_DENIED"
COMMAND_MOST: Final = 32_000  # characters
_SHELL: Final = re.compile(r"[|&;<>()$`\\\n*?\[\]{}~#!]")
_SECRET: Final = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|PRIVATE_?KEY", re.IGNORECASE)
# What decides which program runs, or what is loaded into it, whatever its name is.
_STEERS: Final = re.compile(
    r"PATH|IFS|ENV|BASH_ENV|SHELLOPTS|.*PATH|LD_.*|DYLD_.*|NODE_OPTIONS|PYTHON.*|PERL.*|RUBY.*"
    r"|GIT_.*|.*EDITOR|.*PAGER|BROWSER",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRules:
    """What `tools.exec` says, as values."""

    security: str = "deny"  # deny | allowlist | full
    ask: str = "on-miss"  # off | on-miss | always
    host: str = "auto"
    safe_bins: tuple[str, ...] = ()
    background_after: timedelta = timedelta(seconds=10)
    timeout: timedelta = timedelta(minutes=30)
    path_prepend: tuple[str, ...] = ()
    notify: bool = True
    notify_quiet: bool = False
    keep_for: timedelta = timedelta(minutes=30)
    output_most: int = 200_000  # characters kept of one program
    unread_most: int = 30_000  # characters handed out by one poll
    workspace_only: bool = True
    answer_within: timedelta = timedelta(hours=1)  # a person; else the command is not run

    @property
    def offered(self) -> bool:
        """Whether an agent is offered commands at all."""
        return self.security != "deny"


@dataclass(frozen=True, slots=True)
class Granted:
    """It may run, as this."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Denied:
    """It may not."""

    because: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person has to say yes first."""

    because: str


def judge(
    command: str,
    rules: ExecRules,
    *,
    which: Callable[[str], str | None],
    env: Mapping[str, str] | None = None,
    sandbox: str = "off",
    outside: bool = False,
    approved: bool = False,
) -> Granted | Denied | Ask:
    """Return what to run, or the reason why not, or why a person has to be asked.

    ``outside``: words from outside stand before the agent; ``approved``: a person said yes.
    """
    if words := _unserved(command, rules, sandbox) or _unfit(env or {}, rules):
        return Denied(words)
    shell = Granted(("/bin/sh", "-c", command))
    found = shell if rules.security == "full" else _listed(command, rules, which)
    if approved:
        return found if isinstance(found, Granted) else shell
    if isinstance(found, Granted) and rules.ask == "always":
        return Ask("tools.exec.ask is always")
    if isinstance(found, Granted) and outside:
        return Ask("words from outside stand before the agent")
    return found


def _unserved(command: str, rules: ExecRules, sandbox: str) -> str:
    if rules.security == "deny":
        return f"{DENIED}: tools.exec.security is deny; the operator may set allowlist or full"
    if sandbox != "off":
        return (
            f"{DENIED}: sandbox configured but not available (sandbox.mode {sandbox});"
            " nothing runs outside it instead"
        )
    if rules.host not in ("auto", "gateway"):
        return f"{DENIED}: tools.exec.host {rules.host} is configured but not available"
    if not command.strip() or "\0" in command:
        return "command must hold the command line"
    if len(command) > COMMAND_MOST:
        return f"the command has {len(command)} characters; the most is {COMMAND_MOST}"
    return ""


def _unfit(env: Mapping[str, str], rules: ExecRules) -> str:
    for name, value in env.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            return f"env {name!r} is no name of a variable, or its value cannot be one"
        if name.upper().startswith("ENGINE_"):
            return f"env {name} belongs to the engine"
        if rules.security != "full" and _STEERS.fullmatch(name):
            return f"{DENIED}: env {name} could change which program runs"
    return ""


def _listed(
    command: str, rules: ExecRules, which: Callable[[str], str | None]
) -> Granted | Denied | Ask:
    try:
        argv = shlex.split(command)
    except ValueError as error:
        return Denied(f"the command cannot be read: {error}")
    if _SHELL.search(re.sub(r"'[^']*'", "", command)):
        return _missed(rules, "under an allow-list a command is one program without shell signs")
    program = which(argv[0]) if argv else None
    allowed = {found for name in rules.safe_bins if (found := which(name))}
    if program is None or program not in allowed:
        return _missed(rules, f"{argv[0] if argv else ''!r} is not in tools.exec.safeBins")
    return Granted((program, *argv[1:]))


def _missed(rules: ExecRules, what: str) -> Denied | Ask:
    if rules.ask == "off":
        return Denied(f"{DENIED}: allowlist miss: {what}")
    return Ask(what)


def secret_name(name: str) -> bool:
    """Whether a variable of that name holds something nobody should read."""
    return bool(_SECRET.search(name))


def environment(
    base: Mapping[str, str], rules: ExecRules, own: Mapping[str, str], mark: str
) -> dict[str, str]:
    """Return what a program sees of the gateway's environment: no secrets, nothing of ours."""
    kept = {
        name: value
        for name, value in base.items()
        if not name.startswith("ENGINE_") and not secret_name(name)
    }
    kept["PATH"] = search_path(base, rules)
    return {**kept, **own, "ENGINE_SHELL": "exec", "ENGINE_EXEC_ID": mark}


def search_path(base: Mapping[str, str], rules: ExecRules) -> str:
    """Return where programs are looked for: never the folder the agent may write to."""
    places = (*rules.path_prepend, *base.get("PATH", "/usr/bin:/bin").split(":"))
    return ":".join(place for place in places if place.startswith("/"))
