"""The flags of `cron add` and `cron edit`, and the job they describe (cron.md §16).

What a definition may say is judged by the gateway; here only what the flags themselves
contradict is refused.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import click

from engine.cli import complete
from engine.cli.cron import policies as cron_policies
from jobs.errors import UsageError

ONE_SCHEDULE: Final = "Choose exactly one schedule: --at, --every, or --cron"
ONE_PAYLOAD: Final = (
    "Choose exactly one payload: --message, --system-event, --command or --command-argv"
)
Given = Mapping[str, Any]
_SCHEDULES: Final = ("at", "every", "cron")
_PAYLOADS: Final = ("message", "system_event", "command", "command_argv")
# A flag and its opposite: one of the two (cron.md §17).
_EITHER: Final = (
    ("stagger", "exact"),
    ("announce", "no_deliver"),
    ("delete_after_run", "keep_after_run"),
    ("enable", "disable"),
    ("light_context", "no_light_context"),
    ("best_effort_deliver", "no_best_effort_deliver"),
    ("agent_id", "clear_agent"),
    ("session_key", "clear_session_key"),
    ("model", "clear_model"),
    ("fallbacks", "clear_fallbacks"),
    ("thinking", "clear_thinking"),
    ("tools", "clear_tools"),
    ("channel", "clear_channel"),
    ("to", "clear_to"),
    ("thread_id", "clear_thread_id"),
    ("account", "clear_account"),
    ("display_name", "clear_display_name"),
    ("pacing_min", "clear_pacing"),
    ("pacing_max", "clear_pacing"),
    ("deliver", "no_deliver"),
)
_LABELS: Final = {
    "name": "name",
    "display_name": "displayName",
    "description": "description",
    "agent_id": "agentId",
    "session": "sessionTarget",
    "session_key": "sessionKey",
    "wake": "wakeMode",
    "declaration_key": "declarationKey",
}
_TURN: Final = {"model": "model", "thinking": "thinking"}
_PROCESS: Final = {
    "command_cwd": "cwd",
    "command_input": "input",
    "output_max_bytes": "outputMaxBytes",
    "no_output_timeout_seconds": "noOutputTimeoutSeconds",
}
_DELIVERY: Final = {
    "channel": "channel",
    "to": "to",
    "thread_id": "threadId",
    "account": "accountId",
}
_CLEAR_JOB: Final = {
    "clear_agent": "agentId",
    "clear_session_key": "sessionKey",
    "clear_display_name": "displayName",
    "clear_pacing": "pacing",
}
_PACING: Final = {"pacing_min": "min", "pacing_max": "max"}
# Of newer clients, and not there yet: a flag nobody knows would be a worse answer.
_LATER: Final = {
    "on_exit": "--on-exit: schedules by event are",
    "stream_command": "--stream-command: schedules by event are",
    "trigger_script": "--trigger-script: scripts that decide are",
    "trigger_once": "--trigger-once: scripts that decide are",
    "clear_trigger": "--clear-trigger: scripts that decide are",
}
_CLEAR_TURN: Final = {
    "clear_model": "model",
    "clear_fallbacks": "fallbacks",
    "clear_thinking": "thinking",
    "clear_tools": "toolsAllow",
}
_CLEAR_DELIVERY: Final = {
    "clear_channel": "channel",
    "clear_to": "to",
    "clear_thread_id": "threadId",
    "clear_account": "accountId",
}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _flag(name: str, help_text: str) -> Decorator:
    return click.option(name, is_flag=True, help=help_text)


_SHARED: Final[Sequence[Decorator]] = (
    click.option("--name", metavar="NAME", help="What to call it; from its text otherwise."),
    click.option("--display-name", metavar="NAME", help="A name for people."),
    click.option("--description", metavar="TEXT"),
    click.option("--agent", "agent_id", metavar="ID", help="Another agent than the default one."),
    click.option("--session", metavar="WHERE", help="main, isolated, current or session:ID."),
    click.option("--session-key", metavar="KEY", help="Where `last` looks first."),
    click.option(
        "--wake",
        type=click.Choice(["now", "next-heartbeat"], case_sensitive=False),
        help="For main events.",
    ),
    click.option("--at", metavar="WHEN", help="Once: an instant, or 20m from now."),
    click.option("--every", metavar="SPAN", help="Again and again: 10m, 1h, 1d."),
    click.option("--cron", metavar="EXPR", help='A cron expression: "0 7 * * *".'),
    click.option(
        "--tz",
        metavar="ZONE",
        help="Zone of --cron, or of --at without offset.",
        shell_complete=complete.zones,
    ),
    click.option("--stagger", metavar="SPAN", help="Spread a cron job over this window."),
    _flag("--exact", "No spreading."),
    click.option("--pacing-min", metavar="SPAN", help="Kept with the job; no effect yet."),
    click.option("--pacing-max", metavar="SPAN", help="Kept with the job; no effect yet."),
    click.option("--on-exit", metavar="LINE", hidden=True),
    click.option("--stream-command", metavar="JSON", hidden=True),
    click.option("--trigger-script", metavar="TEXT", hidden=True),
    click.option("--trigger-once", is_flag=True, hidden=True),
    click.option("--message", metavar="TEXT", help="Prompt of an agent turn."),
    click.option("--system-event", metavar="TEXT", help="Words for the agent's main session."),
    click.option("--command", metavar="LINE", help="A shell line; no model."),
    click.option("--command-argv", metavar="JSON", help='A program: ["df", "-h"]; no shell.'),
    click.option("--command-cwd", metavar="DIR"),
    click.option("--command-env", metavar="NAME=VALUE", multiple=True, help="Repeat it."),
    click.option("--command-input", metavar="TEXT", help="Standard input of the program."),
    click.option("--output-max-bytes", type=click.IntRange(min=1)),
    click.option("--no-output-timeout-seconds", type=click.FloatRange(min=0)),
    click.option("--model", metavar="PROVIDER/MODEL"),
    click.option("--fallbacks", metavar="A,B", help="Models to try after it."),
    click.option("--thinking", metavar="LEVEL"),
    click.option("--timeout-seconds", type=click.FloatRange(min=0), help="0: no limit."),
    _flag("--light-context", "Kept; no turn is given the workspace's files."),
    click.option("--tools", metavar="A,B", help="The only tools it may use."),
    _flag("--announce", "Send what it says."),
    click.option("--deliver", is_flag=True, hidden=True),  # the older word for --announce
    _flag("--no-deliver", "Keep what it says to the run log."),
    click.option("--webhook", metavar="URL", help="Post what it says there."),
    click.option("--channel", metavar="NAME", help="Where to; `last` is where you last wrote."),
    click.option("--to", metavar="PEER", help="Recipient on the channel."),
    click.option("--thread-id", metavar="ID", help="Topic of the recipient."),
    click.option("--account", metavar="ID", help="Account of the channel that sends."),
    _flag("--best-effort-deliver", "A failed delivery does not fail the run."),
    _flag("--delete-after-run", "Remove it once it has run."),
    _flag("--keep-after-run", "Keep a one-shot after it has run."),
)
_EDIT: Final[Sequence[Decorator]] = (
    _flag("--enable", "Switch it on."),
    _flag("--disable", "Switch it off."),
    *(
        _flag(f"--{name.replace('_', '-')}", "Back to the default.")
        for name in (*_CLEAR_JOB, *_CLEAR_TURN, *_CLEAR_DELIVERY)
    ),
    click.option("--clear-trigger", is_flag=True, hidden=True),
    _flag("--no-light-context", "Takes --light-context back."),
    _flag("--no-best-effort-deliver", "A failed delivery fails the run."),
)


def add_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `cron add` its flags."""
    more = (
        _flag("--disabled", "Add it switched off."),
        click.option("--declaration-key", metavar="KEY", help="The same key again updates it."),
    )
    return _with(command, (*_SHARED, *cron_policies.FLAGS, *more))


def edit_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give `cron edit` its flags."""
    return _with(command, (*_SHARED, *cron_policies.FLAGS, *_EDIT, *cron_policies.EDIT_FLAGS))


def _with(command: Callable[..., Any], flags: Sequence[Decorator]) -> Callable[..., Any]:
    for flag in reversed(flags):
        command = flag(command)
    return command


# -- the job the flags describe ----------------------------------------------------------------


def new_job(
    given: Given, schedule: str | Mapping[str, Any] | None, message: str | None
) -> dict[str, Any]:
    """The params of `cron.add`; ``schedule`` and ``message`` are the positional ones."""
    check(given)
    if schedule is not None and _named(given, _SCHEDULES):
        raise UsageError(ONE_SCHEDULE, fix='engine cron add "0 7 * * *" "What is on today?"')
    if message is not None and _named(given, _PAYLOADS):
        raise UsageError(ONE_PAYLOAD, fix='engine cron add "0 7 * * *" "What is on today?"')
    job = {**_labels(given), **cron_policies.asked(given)}
    job["schedule"] = _positional(schedule, given) if schedule else _schedule(given)
    if not job["schedule"]:
        raise UsageError(ONE_SCHEDULE, fix='engine cron add "0 7 * * *" "What is on today?"')
    job["payload"] = _payload(given, message)
    if not job["payload"]:
        raise UsageError(ONE_PAYLOAD, fix='engine cron add "0 7 * * *" "What is on today?"')
    if delivery := _delivery(given):
        job["delivery"] = delivery
    if given.get("disabled"):
        job["enabled"] = False
    return job


def patch(given: Given) -> dict[str, Any]:
    """The `patch` of `cron.update`: only what was said."""
    check(given)
    changed = {**_labels(given), **cron_policies.asked(given)}
    changed |= {key: None for flag, key in _CLEAR_JOB.items() if given.get(flag)}
    for part, value in (
        ("schedule", _schedule(given)),
        ("payload", {**_payload(given, None), **_cleared(given, _CLEAR_TURN)}),
        ("delivery", {**_delivery(given), **_cleared(given, _CLEAR_DELIVERY)}),
    ):
        if value:
            changed[part] = value
    if given.get("enable") or given.get("disable"):
        changed["enabled"] = bool(given.get("enable"))
    if not changed:
        raise UsageError("nothing to change was given", fix="engine cron edit --help")
    return changed


def check(given: Given) -> None:
    """Refuse flags that contradict each other (cron.md §17), or mean what is not there yet."""
    for flag in _named(given, tuple(_LATER)):
        raise UsageError(
            f"{_LATER[flag]} not supported yet",
            fix="use --at, --every or --cron; a condition: --gate",
        )
    if len(_named(given, _SCHEDULES)) > 1:
        raise UsageError(ONE_SCHEDULE, fix="leave the others out")
    if len(_named(given, _PAYLOADS)) > 1:
        raise UsageError(ONE_PAYLOAD, fix="leave the others out")
    for one, other in _EITHER:
        if given.get(one) and given.get(other):
            raise UsageError(
                f"Use {_spelled(one)} or {_spelled(other)}, not both", fix="leave one of them out"
            )
    if given.get("webhook") and _named(given, ("announce", "deliver", "no_deliver", *_DELIVERY)):
        raise UsageError(
            "--webhook cannot be combined with chat delivery options", fix="leave one of them out"
        )
    if str(given.get("every") or "").strip().isdecimal():
        raise UsageError(
            "Invalid --every. Use a duration like 10m, 1h, or 1d.",
            fix=f"--every {int(str(given['every'])) or 30}m",
        )
    if given.get("tz") and given.get("every"):
        raise UsageError("--tz is only valid with --cron or offset-less --at", fix="leave --tz out")
    if given.get("timeout_seconds") is not None and given.get("system_event"):
        raise UsageError(
            "--timeout-seconds is not supported for systemEvent jobs",
            fix="leave it out: an event is no turn",
        )


def _named(given: Given, flags: Sequence[str]) -> list[str]:
    return [flag for flag in flags if given.get(flag)]


def _spelled(flag: str) -> str:
    return "--agent" if flag == "agent_id" else f"--{flag.replace('_', '-')}"


def _labels(given: Given) -> dict[str, Any]:
    job = {key: given[flag] for flag, key in _LABELS.items() if given.get(flag) is not None}
    if given.get("delete_after_run") or given.get("keep_after_run"):
        job["deleteAfterRun"] = bool(given.get("delete_after_run"))
    if pacing := {key: given[flag] for flag, key in _PACING.items() if given.get(flag)}:
        job["pacing"] = pacing
    return job


def _positional(wish: str | Mapping[str, Any], given: Given) -> dict[str, Any]:
    from jobs.written import parse_schedule

    if isinstance(wish, str):
        return {**parse_schedule(wish), **_beside(given)}
    beside = _beside(given)
    beside.pop("tz", None)  # the words were read in it: an instant and an interval have none
    return {**wish, **beside}


def _schedule(given: Given) -> dict[str, Any]:
    for flag, key in (("at", "at"), ("every", "everyMs"), ("cron", "expr")):
        if given.get(flag):
            return {"kind": flag, key: given[flag], **_beside(given)}
    return _beside(given)


def _beside(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = {key: given[key] for key in ("tz", "stagger") if given.get(key)}
    if given.get("exact"):
        found["exact"] = True
    return found


def _payload(given: Given, message: str | None) -> dict[str, Any]:
    payload = _words(given, message)
    payload |= {key: given[flag] for flag, key in _TURN.items() if given.get(flag) is not None}
    payload |= {key: given[flag] for flag, key in _PROCESS.items() if given.get(flag) is not None}
    for flag, key in (("fallbacks", "fallbacks"), ("tools", "toolsAllow")):
        if given.get(flag) is not None:
            payload[key] = [part.strip() for part in given[flag].split(",") if part.strip()]
    if given.get("timeout_seconds") is not None:
        payload["timeoutSeconds"] = given["timeout_seconds"]
    if given.get("light_context") or given.get("no_light_context"):
        payload["lightContext"] = bool(given.get("light_context"))
    if given.get("command_env"):
        payload["env"] = dict(_variable(pair) for pair in given["command_env"])
    return payload


def _words(given: Given, message: str | None) -> dict[str, Any]:
    if given.get("system_event"):
        return {"kind": "systemEvent", "text": given["system_event"]}
    if given.get("command"):
        return {"kind": "command", "argv": ["sh", "-lc", given["command"]]}
    if given.get("command_argv"):
        return {"kind": "command", "argv": _argv(given["command_argv"])}
    text = message or given.get("message")
    return {"kind": "agentTurn", "message": text} if text else {}


def _argv(text: str) -> list[str]:
    try:
        argv = json.loads(text)
    except ValueError as error:
        raise UsageError(
            "--command-argv was not understood",
            why=f"it is not JSON ({error})",
            fix=f"--command-argv {shlex.quote(json.dumps(shlex.split(text, posix=True)))}"
            if text.count('"') % 2 == 0 and text.count("'") % 2 == 0
            else '--command-argv \'["df", "-h"]\'',
        ) from error
    if not isinstance(argv, list) or not argv or not all(isinstance(a, str) for a in argv):
        raise UsageError(
            "--command-argv was not understood",
            why="it must be a list of texts",
            fix='--command-argv \'["df", "-h"]\'',
        )
    return argv


def _variable(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise UsageError(f"--command-env {pair} was not understood", fix="write NAME=VALUE")
    return name, value


def _delivery(given: Given) -> dict[str, Any]:
    if given.get("webhook"):
        return {"mode": "webhook", "to": given["webhook"]}
    delivery = {key: given[flag] for flag, key in _DELIVERY.items() if given.get(flag) is not None}
    if given.get("no_deliver"):
        delivery["mode"] = "none"
    elif given.get("announce") or given.get("deliver"):
        delivery["mode"] = "announce"
    if given.get("best_effort_deliver") or given.get("no_best_effort_deliver"):
        delivery["bestEffort"] = bool(given.get("best_effort_deliver"))
    return delivery


def _cleared(given: Given, flags: Mapping[str, str]) -> dict[str, None]:
    return {key: None for flag, key in flags.items() if given.get(flag)}
