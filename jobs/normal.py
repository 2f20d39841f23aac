"""What people and programs write becomes the one shape of cron.md §1. Lenient; decides nothing.

Short forms, legacy places and spellings are accepted here, so that `jobs.edit` has one shape
to judge. The result holds only what was given: defaults are the judge's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from jobs import policies
from jobs.errors import InvalidJob
from jobs.written import parse_schedule, span_ms

ONE_SCHEDULE: Final = "Choose exactly one schedule: --at, --every, or --cron"
ONE_PAYLOAD: Final = (
    "Choose exactly one payload: --message (agentTurn), --system-event, or --command"
)
# Kept as they came until their room is built (`jobs.checks` looks whether they make sense).
EXTRA: Final = frozenset({"pacing"})
_KEYS: Final = (
    EXTRA
    | policies.KEYS
    | {
        "id",
        "name",
        "displayName",
        "description",
        "agentId",
        "sessionKey",
        "sessionTarget",
        "wakeMode",
        "enabled",
        "deleteAfterRun",
        "declarationKey",
        "schedule",
        "payload",
        "delivery",
        "misfire",
    }
)
_SPANS: Final = {"jitter": "jitterMs", "minRefireGap": "minRefireGapMs"}
_SHORT: Final = frozenset({"message", "systemEvent", "command", "deliver", "every", "cron", "tz"})
# What a client read and sends back is ours to compute; `isolation` an older one meant. Ignored.
_COMPUTED: Final = (
    "createdAtMs",
    "updatedAtMs",
    "configRevision",
    "source",
    "nextRunAtMs",
    "effectiveAgentId",
    "deliveryPreview",
    "isolation",
)
_LATER: Final = {"trigger": "trigger scripts", "paused": "pausing by edit (use cron.pause)"}
_KINDS: Final = {
    kind.lower(): kind for kind in ("systemEvent", "agentTurn", "command", "script", "heartbeat")
}
_AGENT_FIELDS: Final = frozenset(
    {
        "message",
        "model",
        "fallbacks",
        "thinking",
        "lightContext",
        "toolsAllow",
        "allowUnsafeExternalContent",
        "external",
    }
)
_SCHEDULE_FIELDS: Final = frozenset(
    {
        "kind",
        "at",
        "everyMs",
        "anchorMs",
        "anchor",
        "expr",
        "tz",
        "staggerMs",
        "stagger",
        "exact",
        "dst",
        "dayMatch",
        "tzIsDefault",
        # of the kinds on-exit and stream, which are refused by their kind
        "command",
        "cwd",
        "mode",
        "match",
        "batchMs",
        "maxBatchBytes",
    }
)
_SCHEDULE_KEYS: Final = ("at", "every", "cron")


def refuse(text: str, *, why: str = "", fix: str = "") -> InvalidJob:
    """Return the refusal of a definition."""
    return InvalidJob(text, why=why, fix=fix)


def unknown_key(key: str, where: str, known: Iterable[str]) -> InvalidJob:
    """Return the refusal of a key nobody knows: it names the nearest one that is known."""
    spelled = {name.lower(): name for name in known}
    near = get_close_matches(key.lower(), spelled, n=1, cutoff=0.6)
    listed = f"use one of: {', '.join(sorted(spelled.values()))}"
    return refuse(
        f"unknown key {key!r} in {where}",
        why=f"did you mean {spelled[near[0]]!r}?" if near else "",
        fix=f"rename it to {spelled[near[0]]}" if near else listed,
    )


def normalise(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given in the one shape. Raises `InvalidJob` for what fits none."""
    given = {key: value for key, value in params.items() if key not in _COMPUTED}
    _whole_letters(given)
    for key in ("schedule", "payload"):
        if key in given and given[key] is None:
            del given[key]
    _lift_schedule(given)
    _lift_payload(given)
    _lift_delivery(given)
    for short, full in _SPANS.items():
        if short in given:
            given.setdefault(full, given.pop(short))
    for key in given:
        if key in _LATER:
            raise refuse(f"{key} was refused", why=f"{_LATER[key]} are not supported")
        if key not in _KEYS:
            raise unknown_key(key, "the job", _KEYS | _SHORT)
    _tidy(given)
    return given


def _whole_letters(given: Mapping[str, Any]) -> None:
    """Refuse half a character (JSON can spell one, UTF-8 cannot): it could not be stored."""
    try:
        json.dumps(given, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise refuse(
            "the job was refused",
            why=f"a text in it has half a character, {error.object[error.start]!a}",
        ) from None


def first_line(text: str) -> str:
    """Return a name made of a text: its first line, at most 60 characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= 60 else line[:60].rstrip() + "…"


def object_of(value: Any, what: str) -> dict[str, Any]:
    """Return the mapping, or refuse by name."""
    if not isinstance(value, Mapping):
        raise refuse(f"{what} must be an object", why=f"got {value!r}")
    return dict(value)


def text_or_none(value: Any, what: str) -> str | None:
    """Return trimmed text; blank and null count as absent."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise refuse(f"{what} must be a text", why=f"got {value!r}")
    return str(value).strip() or None


# -- schedule ----------------------------------------------------------------------------------


def _lift_schedule(given: dict[str, Any]) -> None:
    short = [key for key in _SCHEDULE_KEYS if key in given]
    if len(short) + ("schedule" in given) > 1:
        raise refuse(ONE_SCHEDULE)
    for name in short:
        value = given.pop(name)
        field = {"at": "at", "every": "everyMs", "cron": "expr"}[name]
        given["schedule"] = {"kind": name, field: value}
    schedule = given.get("schedule")
    if isinstance(schedule, str):
        given["schedule"] = parse_schedule(schedule)
    elif "schedule" in given:
        given["schedule"] = _schedule(object_of(schedule, "schedule"))
    for key in ("tz", "staggerMs", "stagger", "exact", "dst", "dayMatch", "anchorMs", "anchor"):
        if key in given:
            given.setdefault("schedule", {})[key] = given.pop(key)
    if "schedule" in given:
        _tidy_schedule(given["schedule"])


def _schedule(schedule: dict[str, Any]) -> dict[str, Any]:
    for old, new in (("atMs", "at"), ("every", "everyMs"), ("cron", "expr")):
        if old in schedule:
            schedule.setdefault(new, schedule.pop(old))
    kinds = {"at": "at", "everyMs": "every", "expr": "cron"}
    told = [kind for key, kind in kinds.items() if schedule.get(key) is not None]
    if len(told) > 1:
        raise refuse(ONE_SCHEDULE)
    if "kind" in schedule:
        schedule["kind"] = str(schedule["kind"]).strip().lower()
    elif told:
        schedule["kind"] = told[0]
    return schedule


def _tidy_schedule(schedule: dict[str, Any]) -> None:
    for key in schedule:
        if key not in _SCHEDULE_FIELDS:
            raise unknown_key(key, "schedule", _SCHEDULE_FIELDS)
    exact = schedule.pop("exact", False)
    if "stagger" in schedule:
        schedule["staggerMs"] = span_ms(schedule.pop("stagger"), "stagger")
    if exact and schedule.get("staggerMs"):
        raise refuse("Choose either --stagger or --exact, not both")
    if exact:
        schedule["staggerMs"] = 0
    if "anchor" in schedule:
        schedule["anchorMs"] = schedule.pop("anchor")
    if "tz" in schedule:
        schedule["tz"] = text_or_none(schedule["tz"], "tz")
        if schedule["tz"] is None:
            del schedule["tz"]


# -- payload -----------------------------------------------------------------------------------


def _lift_payload(given: dict[str, Any]) -> None:
    short = [key for key in ("message", "systemEvent", "text", "command") if key in given]
    if len(short) + ("payload" in given) > 1:
        raise refuse(ONE_PAYLOAD)
    for name in short:
        value = given.pop(name)
        field = {"message": "message", "command": "argv"}.get(name, "text")
        given["payload"] = {field: value}
    beside = ("model", "fallbacks", "thinking", "timeoutSeconds", "lightContext", "toolsAllow")
    for key in beside:
        if key in given:
            payload = object_of(given.get("payload", {}), "payload")
            given["payload"] = {**payload, key: given.pop(key)}
    if "payload" in given:
        given["payload"] = _payload(object_of(given["payload"], "payload"))


def _payload(payload: dict[str, Any]) -> dict[str, Any]:
    if "command" in payload:
        payload.setdefault("argv", payload.pop("command"))
    if isinstance(payload.get("argv"), str):
        payload["argv"] = ["sh", "-lc", payload["argv"]]
    if "timeout" in payload:
        payload.setdefault("timeoutSeconds", span_ms(payload.pop("timeout"), "timeout") / 1000)
    if "kind" in payload:
        kind = str(payload["kind"]).strip()
        payload["kind"] = _KINDS.get(kind.lower(), kind)
        return payload
    kinds = [
        kind
        for kind, keys in (
            ("systemEvent", {"text"}),
            ("command", {"argv"}),
            ("agentTurn", _AGENT_FIELDS),
        )
        if keys & payload.keys()
    ]
    if len(kinds) > 1:
        raise refuse(ONE_PAYLOAD)
    if kinds:
        payload["kind"] = kinds[0]
    return payload


# -- delivery ----------------------------------------------------------------------------------


def _lift_delivery(given: dict[str, Any]) -> None:
    """Read `deliver` in its short forms and the places older clients put it (§10.1, §13)."""
    lifted: dict[str, Any] = {}
    if "payload" in given:
        lifted = _from_payload(given["payload"])
    if "deliver" in given:
        if "delivery" in given:
            raise refuse("deliver and delivery were both given", fix="use one of them")
        given["delivery"] = short_delivery(given.pop("deliver"))
    if "delivery" in given and given["delivery"] is not None:
        delivery = object_of(given["delivery"], "delivery")
        given["delivery"] = {**lifted, **_spelled(delivery)}
    elif lifted:
        given["delivery"] = lifted


def _from_payload(payload: dict[str, Any]) -> dict[str, Any]:
    lifted: dict[str, Any] = {}
    for old, new in (
        ("provider", "channel"),
        ("channel", "channel"),
        ("to", "to"),
        ("threadId", "threadId"),
        ("bestEffortDeliver", "bestEffort"),
    ):
        if old in payload:
            lifted[new] = payload.pop(old)
    if "deliver" in payload:
        lifted["mode"] = "announce" if payload.pop("deliver") else "none"
    return _spelled(lifted)


def short_delivery(deliver: Any) -> dict[str, Any]:
    """Return `"none"`, `"last"`, `"<channel>:<to>"`, a boolean or an object as delivery."""
    if deliver is None or deliver is False:
        return {"mode": "none"}
    if deliver is True:
        return {"mode": "announce"}
    if not isinstance(deliver, str):
        return object_of(deliver, "deliver")
    text = deliver.strip()
    if text.lower() == "none":
        return {"mode": "none"}
    if text.lower().startswith(("http://", "https://")):
        return {"mode": "webhook", "to": text}
    channel, colon, to = text.partition(":")
    return {"mode": "announce", "channel": channel} | ({"to": to} if colon else {})


def _spelled(delivery: dict[str, Any]) -> dict[str, Any]:
    for old, new in (("thread", "threadId"), ("account", "accountId")):
        if old in delivery:
            delivery.setdefault(new, delivery.pop(old))
    for key in ("mode", "channel"):
        if isinstance(delivery.get(key), str):
            delivery[key] = delivery[key].strip().lower()
    if "mode" not in delivery and (delivery.get("channel") or delivery.get("to")):
        delivery["mode"] = "announce"
    if delivery.get("mode") == "deliver":
        delivery["mode"] = "announce"
    return delivery


# -- the rest ----------------------------------------------------------------------------------


def _tidy(given: dict[str, Any]) -> None:
    for key in ("displayName", "description", "agentId", "sessionKey", "declarationKey"):
        if key in given:
            given[key] = text_or_none(given[key], key)
    if given.get("agentId"):
        given["agentId"] = given["agentId"].lower()
    for key in ("wakeMode", "sessionTarget"):
        if given.get(key) is not None:
            given[key] = _word(given[key], key)
    if isinstance(given.get("misfire"), Mapping):
        given["misfire"] = _misfire(dict(given["misfire"]))
    elif isinstance(given.get("misfire"), str):
        given["misfire"] = {"policy": given["misfire"].strip()}


def _word(value: Any, key: str) -> str:
    text = text_or_none(value, key) or ""
    # Only the word before the colon is ours; what follows names somebody's session.
    head, colon, rest = text.partition(":")
    return head.lower() + colon + rest


def _misfire(misfire: dict[str, Any]) -> dict[str, Any]:
    if "grace" in misfire:
        grace = misfire.pop("grace")
        misfire["graceMs"] = None if grace is None else span_ms(grace, "misfire.grace")
    return misfire
