"""One job of OpenClaw in our shape: its legacy places, and what has no counterpart (§19)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobs.checks import THINKING
from jobs.importing.documents import dropped, quoted
from jobs.importing.report import Notes, Weight, shortened

_TOP: Final = (
    *("name", "displayName", "description", "agentId", "sessionKey", "sessionTarget"),
    *("wakeMode", "enabled", "deleteAfterRun", "createdAtMs", "updatedAtMs", "schedule"),
    *("payload", "delivery", "failureAlert", "pacing"),
)
# Of older releases, which put a payload's fields beside it.
_LIFTED: Final = (
    *("message", "text", "model", "fallbacks", "thinking", "timeoutSeconds", "lightContext"),
    *("toolsAllow", "allowUnsafeExternalContent", "deliver", "channel", "to", "threadId"),
    *("provider", "bestEffortDeliver", "command", "timeout"),
)
_ROUTED: Final = ("deliver", "channel", "to", "threadId", "provider", "bestEffortDeliver")
# Said elsewhere, or of no use to anybody but the store it comes from.
_SILENT: Final = frozenset({"id", "jobId", "state", "configRevision", "owner", "trigger", "tz"})
_SCHEDULES: Final = {
    "at": ("at",),
    "every": ("everyMs", "anchorMs"),
    "cron": ("expr", "tz", "staggerMs"),
}
_PAYLOADS: Final = {
    "systemEvent": ("text",),
    "agentTurn": (
        *("message", "model", "fallbacks", "thinking", "timeoutSeconds", "lightContext"),
        *("toolsAllow", "allowUnsafeExternalContent"),
    ),
    "command": (
        *("argv", "cwd", "env", "input", "timeoutSeconds", "noOutputTimeoutSeconds"),
        "outputMaxBytes",
    ),
}
_KINDS: Final = {kind.lower(): kind for kind in _PAYLOADS}
_DELIVERY: Final = (
    *("mode", "channel", "to", "threadId", "accountId", "bestEffort"),
    *("failureDestination", "completionDestination"),
)
_ALERT: Final = ("after", "cooldownMs", "includeSkipped", "mode", "channel", "to", "accountId")


def job_of(
    row: Mapping[str, Any], where: str, channels: Mapping[str, str], notes: Notes
) -> dict[str, Any] | None:
    """Return what `jobs.edit.create` takes, or None with a remark that says why not."""
    payload = _payload(row, where, notes)
    schedule = _schedule(row, where, notes)
    if payload is None or schedule is None:
        return None
    job = dropped(
        {key: value for key, value in row.items() if key not in _SILENT and key not in _LIFTED},
        _TOP,
        "",
        where,
        notes,
    )
    if not isinstance(job.get("enabled"), bool):
        job["enabled"] = True
    if not isinstance(job.get("name"), str) or not str(job["name"]).strip():
        job.pop("name", None)
    if str(job.get("wakeMode", "")).strip().lower() not in ("now", "next-heartbeat"):
        job.pop("wakeMode", None)
    if not isinstance(job.get("deleteAfterRun", False), bool):
        del job["deleteAfterRun"]
    job |= {"schedule": schedule, "payload": payload}
    _target(job, where, notes)
    _delivery(job, row, channels, where, notes)
    _alert(job, where, notes)
    if row.get("trigger"):
        why = "its trigger script decided whether to run; here nothing would: switched off"
        notes.add(Weight.HELD, where, why, "give it a gate command", quoted(row["trigger"]))
        job["enabled"] = False
    return job


# -- when ----------------------------------------------------------------------------------------


def _schedule(row: Mapping[str, Any], where: str, notes: Notes) -> dict[str, Any] | None:
    given = row.get("schedule")
    if isinstance(given, str):
        given = {"kind": "cron", "expr": given}
    if not isinstance(given, Mapping):
        notes.add(Weight.LEFT_OUT, where, "it has no schedule", "", quoted(given))
        return None
    spelled = _respelled(given)
    kind = str(spelled.pop("kind", "") or "").strip().lower() or _guessed(spelled)
    if kind not in _SCHEDULES:
        why = f"schedule kind {shortened(kind or '-', 40)!r} is not supported here"
        notes.add(Weight.LEFT_OUT, where, why, "add a job with a time of its own", quoted(given))
        return None
    made = {"kind": kind, **dropped(spelled, _SCHEDULES[kind], "schedule.", where, notes)}
    if kind == "cron" and "tz" not in made and isinstance(row.get("tz"), str):
        made["tz"] = row["tz"]
    if kind == "at":
        made["at"] = str(_number(made.get("at")))
    for key in ("everyMs", "anchorMs", "staggerMs"):
        if key in made:
            made[key] = _number(made[key])
    if kind == "every":
        _anchored(made, row)
    return made


def _respelled(schedule: Mapping[str, Any]) -> dict[str, Any]:
    spelled = dict(schedule)
    for old, new in (("atMs", "at"), ("cron", "expr")):
        if (value := spelled.pop(old, None)) is not None and not spelled.get(new):
            spelled[new] = value
    return spelled


def _guessed(schedule: Mapping[str, Any]) -> str:
    for kind, keys in _SCHEDULES.items():
        if schedule.get(keys[0]) is not None:
            return kind
    return ""


def _number(value: Any) -> Any:
    """Return a number some releases wrote as text, or with a fraction."""
    if isinstance(value, float) and abs(value) < 10**15:
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 16:
        return int(value)
    return value


def _anchored(made: dict[str, Any], row: Mapping[str, Any]) -> None:
    """Keep the grid: jobs without an anchor counted from when they were made."""
    for key in ("createdAtMs", "updatedAtMs"):
        anchor = made.get("anchorMs")
        if isinstance(anchor, int) and not isinstance(anchor, bool) and anchor >= 0:
            return
        made["anchorMs"] = _number(row.get(key))
    if not isinstance(made.get("anchorMs"), int):
        made.pop("anchorMs", None)


# -- what ----------------------------------------------------------------------------------------


def _payload(row: Mapping[str, Any], where: str, notes: Notes) -> dict[str, Any] | None:
    given = row.get("payload")
    payload = dict(given) if isinstance(given, Mapping) else {}
    beside = {key: row[key] for key in _LIFTED if row.get(key) is not None and key not in _ROUTED}
    if "command" in beside and not payload:
        # Its oldest jobs handed `command` to the agent as words.
        beside.setdefault("text", beside["command"])
    if "timeout" in beside:
        beside.setdefault("timeoutSeconds", beside.pop("timeout"))
    beside.pop("command", None)
    kind = str(payload.pop("kind", "") or "").strip()
    merged = {**beside, **{key: v for key, v in payload.items() if v is not None}}
    kind = _KINDS.get(kind.lower(), kind) or _kind(merged)
    if kind not in _PAYLOADS:
        why = f"payload kind {shortened(kind or '-', 40)!r} is not supported here"
        notes.add(Weight.LEFT_OUT, where, why, "use a command or an agent turn", quoted(given))
        return None
    if kind == "systemEvent" and not merged.get("text"):
        merged["text"] = merged.pop("message", None)
    routed = {key: merged.pop(key) for key in _ROUTED if key in merged}
    silent = {"toolsAllowIsDefault", *(beside if kind == "systemEvent" else ())}
    told = {key: v for key, v in merged.items() if key not in silent or key in _PAYLOADS[kind]}
    made = {"kind": kind, **dropped(told, _PAYLOADS[kind], "payload.", where, notes), **routed}
    _thinking(made, where, notes)
    return made


def _kind(payload: Mapping[str, Any]) -> str:
    for key, kind in (("argv", "command"), ("message", "agentTurn"), ("text", "systemEvent")):
        if payload.get(key):
            return kind
    return ""


def _thinking(payload: dict[str, Any], where: str, notes: Notes) -> None:
    level = payload.get("thinking")
    if level is not None and level not in THINKING:
        why = f"thinking level {shortened(str(level), 40)!r} is not known here: left out"
        notes.add(Weight.CHANGED, where, why, f"one of {', '.join(THINKING)}")
        del payload["thinking"]


# -- where ---------------------------------------------------------------------------------------


def _target(job: dict[str, Any], where: str, notes: Notes) -> None:
    target = job.get("sessionTarget")
    if not isinstance(target, str) or not target.strip():
        job.pop("sessionTarget", None)
    elif target.strip().lower() == "current" and not job.get("sessionKey"):
        why = "it ran in the session it was made in, which it does not name: it becomes isolated"
        notes.add(Weight.CHANGED, where, why)
        job["sessionTarget"] = "isolated"


def _delivery(
    job: dict[str, Any],
    row: Mapping[str, Any],
    channels: Mapping[str, str],
    where: str,
    notes: Notes,
) -> None:
    lifted = {key: row[key] for key in _ROUTED if row.get(key) is not None}
    lifted |= {key: job["payload"].pop(key) for key in _ROUTED if key in job["payload"]}
    given = job.pop("delivery", None)
    delivery = dict(given) if isinstance(given, Mapping) else {}
    if lifted:
        delivery = {**_spelled(lifted), **delivery}
    if str(delivery.get("mode", "")).strip().lower() == "deliver":
        delivery["mode"] = "announce"
    elif delivery.get("mode") not in (None, "none", "announce", "webhook"):
        why = f"delivery mode {shortened(str(delivery['mode']), 40)!r} is not known: left out"
        notes.add(Weight.CHANGED, where, why)
        del delivery["mode"]
    delivery = dropped(delivery, _DELIVERY, "delivery.", where, notes)
    if delivery.get("mode") == "webhook":
        delivery = {
            k: v for k, v in delivery.items() if k not in ("channel", "accountId", "threadId")
        }
    if _is_main(job):
        delivery = _of_main(delivery, where, notes)
    elif delivery.get("mode", "announce") == "announce":
        # Its default; said, because here it must be said where there are several channels.
        delivery = {"mode": "announce", "channel": "last", **delivery}
    if delivery:
        job["delivery"] = _routed(delivery, job, channels, where, notes)


def _spelled(lifted: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for old, new in (
        ("provider", "channel"),
        ("channel", "channel"),
        ("to", "to"),
        ("threadId", "threadId"),
        ("bestEffortDeliver", "bestEffort"),
    ):
        if old in lifted:
            made[new] = lifted[old]
    if "deliver" in lifted:
        made["mode"] = "announce" if lifted["deliver"] else "none"
    elif made.get("channel") or made.get("to"):
        made["mode"] = "announce"
    return made


def _is_main(job: Mapping[str, Any]) -> bool:
    target = str(job.get("sessionTarget") or "").strip().lower()
    return target == "main" or (not target and job["payload"]["kind"] == "systemEvent")


def _of_main(delivery: dict[str, Any], where: str, notes: Notes) -> dict[str, Any]:
    """An event of the main session announces nothing (cron.md §10.1)."""
    if delivery.get("mode") == "webhook":
        return delivery
    if delivery.get("mode") == "announce" or "failureDestination" in delivery:
        why = "an event of the main session has no delivery of its own: the agent answers there"
        notes.add(Weight.CHANGED, where, why, "", quoted(delivery))
    return {}


def _routed(
    delivery: dict[str, Any],
    job: dict[str, Any],
    channels: Mapping[str, str],
    where: str,
    notes: Notes,
) -> dict[str, Any]:
    named = str(delivery.get("channel") or "last").strip().lower()
    if delivery.get("mode") == "webhook" or not channels or named == "last":
        return delivery
    if named in channels:
        return {**delivery, "channel": channels[named]}
    why = (
        f"{shortened(named, 40)!r} is no channel here: it has nowhere to speak and is switched off"
    )
    notes.add(Weight.HELD, where, why, "give it another channel and enable it", quoted(delivery))
    job["enabled"] = False
    return {"mode": "none"}


def _alert(job: dict[str, Any], where: str, notes: Notes) -> None:
    alert = job.get("failureAlert")
    if isinstance(alert, Mapping):
        job["failureAlert"] = dropped(alert, _ALERT, "failureAlert.", where, notes)
    elif alert is not None and not isinstance(alert, bool):
        notes.add(Weight.CHANGED, where, "its failureAlert is no rule", "", quoted(alert))
        del job["failureAlert"]
