"""What a service of systemd runs, as one command of ours (systemd.service(5))."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs.errors import InvalidSchedule
from jobs.importing.report import Notes, Weight, listed
from jobs.importing.units import Unit, named, span, words

_VARIABLE: Final = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_WHOLE: Final = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_SPECIFIER: Final = re.compile(r"%(.)", re.DOTALL)
_STEPS: Final = ("ExecStartPre", "ExecStart", "ExecStartPost")
_DAEMONS: Final = ("forking", "notify", "notify-reload", "dbus", "idle")
# Read, or without a meaning for a command that ends by itself.
_KNOWN: Final = frozenset(
    {
        *_STEPS,
        "ExecCondition",
        "Type",
        "Environment",
        "EnvironmentFile",
        "WorkingDirectory",
        "User",
        "Group",
        "TimeoutSec",
        "TimeoutStartSec",
        "RuntimeMaxSec",
        "RemainAfterExit",
        "SyslogIdentifier",
        "StandardOutput",
        "StandardError",
        "KillMode",
    }
)
_HOLD: Final = "look at it, then: engine cron enable, with the job's id"


@dataclass(frozen=True, slots=True)
class _Command:
    """One line of a service."""

    argv: tuple[str, ...]
    may_fail: bool = False


def payload_of(
    service: Unit, home: str | None, notes: Notes
) -> tuple[dict[str, Any], dict[str, Any], bool] | None:
    """Return payload, further keys of the job, and whether it must be looked at first.

    None, with a remark, if the service runs nothing that could be brought over.
    """
    where = service.name
    env = _environment(service, home, notes)
    unclear: list[str] = []
    steps = {
        step: _commands(service, step, env, home, unclear) for step in (*_STEPS, "ExecCondition")
    }
    if not steps["ExecStart"]:
        why = "it has no ExecStart that can be read" if unclear else "it has no ExecStart"
        text = listed(service.all("Service", "ExecStart"))
        notes.add(Weight.LEFT_OUT, where, f"{why}: {listed(unclear)}" if unclear else why, "", text)
        return None
    payload: dict[str, Any] = {
        "kind": "command",
        "argv": _one_command([command for step in _STEPS for command in steps[step]]),
        "timeoutSeconds": _timeout(service, notes),
    }
    directory = service.last("Service", "WorkingDirectory").removeprefix("-")
    if directory:
        payload["cwd"] = _expanded(directory, service, home, unclear)
    if env:
        payload["env"] = env
    more: dict[str, Any] = {}
    if steps["ExecCondition"]:
        more["gate"] = {"command": _one_command(steps["ExecCondition"])}
        why = "ExecCondition became the job's gate: exit 0 runs it, another status skips the slot"
        notes.add(Weight.NOTE, where, why)
    for words_of in unclear:
        notes.add(Weight.HELD, where, words_of, _HOLD)
    stays = _stays(service, notes)
    _leftovers(service, notes)
    return payload, more, bool(unclear or stays)


# -- commands ------------------------------------------------------------------------------------


def _commands(
    service: Unit, key: str, env: Mapping[str, str], home: str | None, unclear: list[str]
) -> list[_Command]:
    found = []
    for line in service.all("Service", key):
        try:
            parts = _split(words(line))
        except ValueError as error:
            unclear.append(f"{key}: {error}")
            continue
        for part in parts:
            found.append(_command(key, part, service, env, home, unclear))
    return found


def _split(parts: Sequence[str]) -> list[list[str]]:
    """Split at lone semicolons: several commands may stand on one line."""
    commands: list[list[str]] = [[]]
    for part in parts:
        if part == ";":
            commands.append([])
        else:
            commands[-1].append(";" if part == "\\;" else part)
    return [command for command in commands if command]


def _command(
    key: str,
    parts: list[str],
    service: Unit,
    env: Mapping[str, str],
    home: str | None,
    unclear: list[str],
) -> _Command:
    program = parts[0].lstrip("@-:+!|")
    signs = parts[0][: len(parts[0]) - len(program)]
    rest = parts[1:]
    if "@" in signs:
        rest = rest[1:]  # the name the program is told it has
    if "+" in signs or "!" in signs:
        unclear.append(f"{key}: {parts[0]} ran with full privileges whatever User= says")
    argv = []
    for word in (program, *rest):
        text = _expanded(word, service, home, unclear)
        argv += [text] if ":" in signs else _substituted(text, env, key, unclear)
    return _Command(tuple(argv), may_fail="-" in signs)


def _expanded(text: str, service: Unit, home: str | None, unclear: list[str]) -> str:
    """Fill in specifiers: those that follow from the unit's name, and the home directory."""

    def value(found: re.Match[str]) -> str:
        try:
            return named(found[1], service.name)
        except KeyError:
            if found[1] == "h" and home is not None:
                return home
            unclear.append(f"{found[0]} in {text!r} is known to systemd only")
            return found[0]

    text = _SPECIFIER.sub(value, text)
    return home if text == "~" and home is not None else text


def _substituted(word: str, env: Mapping[str, str], key: str, unclear: list[str]) -> list[str]:
    """Fill in variables as systemd does: `${A}` inside a word, `$A` as words of its own."""

    def value(name: str) -> str:
        if name not in env:
            unclear.append(f"{key}: ${name} is set nowhere in the unit")
        return env.get(name, "")

    if (whole := _WHOLE.fullmatch(word)) is not None:
        return value(whole[1]).split()
    return [_VARIABLE.sub(lambda found: value(found[1]) if found[1] else "$", word)]


def _one_command(commands: Sequence[_Command]) -> list[str]:
    """Return one argv: several commands one after the other, as long as none fails."""
    if len(commands) == 1 and not commands[0].may_fail:
        return list(commands[0].argv)
    lines = [shlex.join(command.argv) for command in commands]
    may_fail = [command.may_fail for command in commands]
    told = [
        f"{{ {line} || true; }}" if free else line
        for line, free in zip(lines, may_fail, strict=True)
    ]
    return ["/bin/sh", "-c", " && ".join(told)]


# -- what it runs in -----------------------------------------------------------------------------


def _environment(service: Unit, home: str | None, notes: Notes) -> dict[str, str]:
    env: dict[str, str] = {}
    unclear: list[str] = []
    for line in service.all("Service", "Environment"):
        try:
            pairs = words(line)
        except ValueError as error:
            unclear.append(f"Environment: {error}")
            continue
        for pair in pairs:
            name, equals, value = pair.partition("=")
            if equals and name:
                env[name] = _expanded(value, service, home, unclear)
    for why in unclear:
        notes.add(Weight.CHANGED, service.name, why, "correct env of the job")
    return env


def _timeout(service: Unit, notes: Notes) -> float:
    """Return seconds, 0 for no limit: a oneshot may take as long as it likes (§ Options)."""
    oneshot = service.last("Service", "Type", "simple") == "oneshot"
    start = service.last("Service", "TimeoutStartSec") or service.last("Service", "TimeoutSec")
    wish = (start if oneshot else "") or service.last("Service", "RuntimeMaxSec")
    try:
        found = span(wish) if wish else None
    except InvalidSchedule as error:
        notes.add(Weight.CHANGED, service.name, str(error), "set timeoutSeconds of the job")
        found = None
    return 0 if found is None else found.total_seconds()


def _stays(service: Unit, notes: Notes) -> bool:
    """Whether the service may not be what a command that ends is; each doubt is remarked."""
    doubts = []
    kind = service.last("Service", "Type")
    if kind in _DAEMONS:
        doubts.append(f"Type={kind}: it starts something that stays")
    if service.on("Service", "RemainAfterExit"):
        doubts.append("RemainAfterExit=yes: under systemd it ran once and no second time")
    if files := service.all("Service", "EnvironmentFile"):
        doubts.append(f"variables of {listed(files)} are not read here")
    for doubt in doubts:
        notes.add(Weight.HELD, service.name, doubt, _HOLD)
    return bool(doubts)


def _leftovers(service: Unit, notes: Notes) -> None:
    user = service.last("Service", "User") or service.last("Service", "Group")
    if user:
        notes.add(
            Weight.CHANGED,
            service.name,
            f"it ran as {user}; here it runs as the gateway does",
            "let the gateway run as that user, or give the command its rights",
        )
    rest = [key for key in service.keys("Service") if key not in _KNOWN]
    asked = [key for key in service.keys("Unit") if key.startswith(("Condition", "Assert"))]
    if rest or asked:
        why = f"not taken over: {listed(sorted([*rest, *asked]))}"
        fix = "a gate command can ask what a Condition asked" if asked else ""
        notes.add(Weight.CHANGED, service.name, why, fix)
