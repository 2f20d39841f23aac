"""Creating and changing jobs: defaults, and every refusal of cron.md §17.

`create` and `patch` take what callers wrote, bring it into one shape (`jobs.normal`), merge
it with what stands, and judge the whole. The present is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from jobs import checks, codec, policies, policy_checks
from jobs.checks import CHAT_KEYS, Faults
from jobs.cron import never_fires
from jobs.errors import InvalidJob, InvalidSchedule
from jobs.model import Command, Job, Misfire, Payload, Source, SystemEvent
from jobs.normal import EXTRA, ONE_PAYLOAD, ONE_SCHEDULE, first_line, normalise, object_of, refuse
from jobs.schedule import At, Cron, Every, Schedule, schedule_from_json, schedule_to_json
from jobs.stagger import default_window
from jobs.wallclock import ms
from jobs.written import JUST_NOW, check_at, parse_at, parse_every, span_ms, whole_ms

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MS: Final = timedelta(milliseconds=1)
_OPENCLAW: Final = {"gap": "skip", "overlap": "first"}

_PLAIN: Final = Misfire()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a definition is judged against."""

    now: datetime
    default_tz: str = "UTC"
    default_agent: str = "main"
    agents: tuple[str, ...] = ()  # empty: any
    channels: tuple[str, ...] | None = None  # configured ones; None: nobody knows
    faults: Faults | None = None  # which chats and models there are not; None: nobody judges
    misfire: Misfire = _PLAIN
    past: bool = False  # True: an instant that has passed is accepted (cron.md §13)
    calendars: tuple[str, ...] | None = None  # configured ones; None: any
    stagger: bool = True  # False: cron jobs are exact unless they ask (cron.md §13)


def create(
    params: Mapping[str, Any],
    rules: Rules,
    *,
    job_id: str | None = None,
    source: Source = Source.RUNTIME,
) -> Job:
    """Return a new job; it gets ``job_id``, or a new one, unless ``params`` chose its id.

    Raises `InvalidJob` or `InvalidSchedule` with the words of cron.md §17.
    """
    given = normalise(params)
    chosen = _job_id(given.pop("id", None) or job_id or str(uuid4()))
    if not given.get("schedule"):
        raise refuse(ONE_SCHEDULE)
    if not given.get("payload"):
        raise refuse(ONE_PAYLOAD)
    payload = _payload(given["payload"])
    schedule = _schedule(given["schedule"], None, chosen, rules)
    target = _session_target(given, payload)
    job = Job(
        id=chosen,
        name=_name(given, payload),
        schedule=schedule,
        payload=payload,
        agent_id=given.get("agentId"),
        session_target=target,
        session_key=given.get("sessionKey"),
        delivery=codec.delivery_from_json(_delivery(given.get("delivery"), payload, target)),
        enabled=_flag(given.get("enabled"), "enabled", default=True),
        delete_after_run=_flag(
            given.get("deleteAfterRun"), "deleteAfterRun", default=isinstance(schedule, At)
        ),
        misfire=_misfire(given.get("misfire"), None, schedule, rules),
        policies=_policies(given, policies.PLAIN, schedule, payload, rules),
        source=source,
        declaration_key=_declaration_key(given),
        display_name=given.get("displayName"),
        description=given.get("description"),
        wake_mode=checks.wake_mode(given.get("wakeMode")),
        created_at=whole_ms(rules.now),
        updated_at=whole_ms(rules.now),
        extra={key: given[key] for key in EXTRA if given.get(key) is not None},
    )
    return _judged(job, rules)


def patch(job: Job, changes: Mapping[str, Any], rules: Rules) -> Job:
    """Return the job with ``changes`` merged in (cron.md §1.1); null clears.

    Raises `InvalidJob` or `InvalidSchedule`; an empty patch returns the job as it is.
    """
    given = normalise(changes)
    if not given:
        return job
    _immutable(job, given)
    made = job
    if "schedule" in given:
        schedule = object_of(given["schedule"], "schedule")
        made = replace(made, schedule=_schedule(schedule, job.schedule, job.id, rules))
    if "payload" in given:
        wish = object_of(given["payload"], "payload")
        made = replace(made, payload=_merged_payload(job.payload, wish))
    if "sessionTarget" in given or "sessionKey" in given:
        made = _retargeted(made, given)
    made = _redelivered(made, given)
    if "misfire" in given:
        misfire = _misfire(given["misfire"], job.misfire, made.schedule, rules)
        made = replace(made, misfire=misfire)
    if not policies.KEYS.isdisjoint(given) or {"schedule", "payload"} & given.keys():
        asked = _policies(given, made.policies, made.schedule, made.payload, rules)
        made = replace(made, policies=asked)
    made = _relabelled(made, given, rules.now)
    if _names(made) == _names(job):
        # What was accepted once does not keep a job from being renamed or switched off.
        rules = replace(rules, channels=None, faults=None)
    return _judged(made, rules)


def _names(job: Job) -> tuple[Any, ...]:
    """Return all a job says about where its words go and which models it asks."""
    places = list(checks.places(job))
    return (job.session_key, job.session_target, job.delivery, places, checks.models(job))


def _judged(job: Job, rules: Rules) -> Job:
    return checks.judged(job, rules.default_agent, rules.agents, rules.channels, rules.faults)


def same(one: Job, other: Job) -> bool:
    """Tell whether two jobs are defined alike, whenever they were made."""
    return codec.revision(one) == codec.revision(other)


def _payload(wish: Mapping[str, Any]) -> Payload:
    """Return the payload after every check of its fields."""
    checks.payload(wish)
    try:
        return codec.payload_from_json(wish)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        why = f"payload.{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidJob(
            "the payload was refused", why=why, fix="correct that field of the payload"
        ) from None


# -- parts of a new job --------------------------------------------------------------------------


def _job_id(wish: Any) -> str:
    if not isinstance(wish, str) or not _ID.fullmatch(wish):
        raise refuse(
            f"job id {wish!r} was refused",
            why="an id is 1 to 128 letters, digits, dots, dashes, colons or underscores",
        )
    return wish


def _name(given: Mapping[str, Any], payload: Payload) -> str:
    if "name" in given:
        name = given["name"]
        if not isinstance(name, str) or not name.strip():
            raise refuse("Cron job name is required", why="name must not be blank")
        return name.strip()
    match payload:
        case SystemEvent():
            return first_line(payload.text)
        case Command():
            return first_line(" ".join(payload.argv))
        case _:
            return first_line(getattr(payload, "message", "")) or "job"


def _declaration_key(given: Mapping[str, Any]) -> str | None:
    if "declarationKey" not in given:
        return None
    key = given["declarationKey"]
    if key is None:
        raise refuse("declarationKey must not be blank")
    if len(key) > 200:
        raise refuse("declarationKey is too long", why=f"{len(key)} characters; 200 at most")
    return str(key)


def _flag(value: Any, what: str, *, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        raise refuse(f"{what} must be true or false", why=f"got {value!r}")
    return value


def _session_target(given: Mapping[str, Any], payload: Payload) -> str:
    wish = given.get("sessionTarget")
    if not wish:
        return "main" if isinstance(payload, SystemEvent) else "isolated"
    return checks.session_target(wish, given.get("sessionKey"))


def _delivery(wish: Any, payload: Payload, target: str) -> dict[str, Any]:
    """Fill in the mode: turns and commands are announced, events are not (§10.1)."""
    speaks = target != "main" and not isinstance(payload, SystemEvent)
    mode = "announce" if speaks else "none"
    if wish is None:
        return {"mode": mode}
    found = checks.delivery(wish)
    if found.get("mode") == "webhook":
        checks.unmixed(found)
    return {"mode": mode, **found}


def _misfire(wish: Any, current: Misfire | None, schedule: Schedule, rules: Rules) -> Misfire:
    if current is None or wish is None:
        current = rules.misfire
        if isinstance(schedule, At):
            current = replace(current, grace=None)  # cron.md §7: a one-shot waits for ever
    return current if wish is None else checks.misfire(wish, current)


def _policies(
    given: Mapping[str, Any],
    current: policies.Policies,
    schedule: Schedule,
    payload: Payload,
    rules: Rules,
) -> policies.Policies:
    """Return what the job asks of its scheduler: what stands, changed by what is given."""
    zone = schedule.tz if isinstance(schedule, Cron) else rules.default_tz
    before = policies.to_json(current)
    given = {key: _merged(before.get(key), value) for key, value in given.items()}
    wish = policy_checks.normal(given, now=rules.now, tz=zone, calendars=rules.calendars)
    made = policies.from_json({k: v for k, v in {**before, **wish}.items() if v is not None})
    policy_checks.fitting(made, schedule, is_command=isinstance(payload, Command))
    return made


def _merged(before: Any, wish: Any) -> Any:
    """Change an object field by field, as a payload is (cron.md §1.1); replace anything else."""
    both = isinstance(before, Mapping) and isinstance(wish, Mapping)
    return {**before, **wish} if both else wish


# -- schedule ------------------------------------------------------------------------------------


def _schedule(
    wish: Mapping[str, Any], current: Schedule | None, job_id: str, rules: Rules
) -> Schedule:
    match wish.get("kind") or _kind_of(current):
        case "at":
            _only_cron(wish)
            return _at(wish, current, rules)
        case "every":
            _only_cron(wish)
            return _every(wish, current, rules)
        case "cron":
            return _cron(wish, current, job_id, rules)
        case "on-exit" | "stream" as kind:
            raise InvalidSchedule(
                f"schedule kind {kind} was refused",
                why="event schedules are not supported yet",
                fix="use kind at, every or cron",
            )
        case None:
            raise InvalidSchedule(ONE_SCHEDULE, fix="for example: --every 30m")
        case kind:
            raise InvalidSchedule(
                "the schedule was refused",
                why=f"kind {kind!r} is not known",
                fix="use kind at, every or cron",
            )


def _kind_of(schedule: Schedule | None) -> str | None:
    return None if schedule is None else str(schedule_to_json(schedule)["kind"])


def _only_cron(wish: Mapping[str, Any]) -> None:
    # A change of nothing but the zone or stagger says that a cron schedule was expected.
    named = {"at", "everyMs", "kind"} & wish.keys()
    beside = {"tz", "staggerMs", "dst", "dayMatch"} & wish.keys()
    if beside and not named:
        raise InvalidSchedule(
            "Current job is not a cron schedule; use --cron to convert first",
            fix='add an expression, as in --cron "0 9 * * *"',
        )
    if wish.get("staggerMs") is not None:
        raise InvalidSchedule(
            "--stagger and --exact are only valid for cron schedules", fix="leave them out"
        )


def _at(wish: Mapping[str, Any], current: Schedule | None, rules: Rules) -> At:
    if wish.get("at") is None:
        raise InvalidSchedule(
            "Invalid --at. Use an ISO timestamp or a duration like 20m.", fix="--at 20m"
        )
    at = parse_at(str(wish["at"]), now=rules.now, tz=wish.get("tz"))
    if isinstance(current, At) and current.at == at:
        return current  # a client sends back what it read, long after the instant
    return At(at if rules.past else check_at(at, now=rules.now))


def _every(wish: Mapping[str, Any], current: Schedule | None, rules: Rules) -> Every:
    if "tz" in wish:
        raise InvalidSchedule(
            "--tz is only valid with --cron or offset-less --at", fix="leave --tz out"
        )
    before = current if isinstance(current, Every) else None
    period = wish.get("everyMs")
    if period is None and before is not None:
        period = schedule_to_json(before)["everyMs"]
    every = parse_every(period)
    anchor = wish.get("anchorMs")
    if isinstance(anchor, str) and not anchor.strip().isdecimal():
        anchor = ms(parse_at(anchor, now=rules.now, tz=rules.default_tz))
    made = schedule_from_json(
        {"kind": "every", "everyMs": every, "anchorMs": anchor},
        default_tz=rules.default_tz,
        job_id=None,
        now=whole_ms(rules.now),
    )
    if not isinstance(made, Every):
        raise AssertionError("kind every made something else")
    same = before is not None and before.period == made.period and anchor is None
    return before if same and before is not None else made


def _cron(wish: Mapping[str, Any], current: Schedule | None, job_id: str, rules: Rules) -> Schedule:
    before = schedule_to_json(current) if isinstance(current, Cron) else {}
    merged: dict[str, Any] = {**before, **wish, "kind": "cron"}
    default = (before.get("tz"), rules.default_tz)
    read_back = wish.get("tzIsDefault") is True and wish.get("tz") in default
    if "tz" in wish and not read_back:
        merged.pop("tzIsDefault", None)  # somebody gives it a zone
    expr = merged.get("expr")
    if merged.get("dst") == "openclaw-2026.9":
        merged["dst"] = _OPENCLAW
    if "staggerMs" in wish:
        merged["staggerMs"] = span_ms(wish["staggerMs"] or 0, "staggerMs")
    elif isinstance(expr, str) and expr.strip() != before.get("expr"):
        merged["staggerMs"] = default_window(expr) // _MS if rules.stagger else 0
    made = schedule_from_json(
        merged, default_tz=rules.default_tz, job_id=job_id, now=whole_ms(rules.now)
    )
    if made.next_after(rules.now) is None:
        raise never_fires(str(expr))
    return made


# -- parts of a patch ----------------------------------------------------------------------------


def _immutable(job: Job, given: Mapping[str, Any]) -> None:
    if given.get("id", job.id) != job.id:
        raise refuse("a job's id cannot be changed", fix="add a new job and remove this one")
    if given.get("declarationKey", job.declaration_key) != job.declaration_key:
        raise refuse("a job's declarationKey cannot be changed")


def _merged_payload(current: Payload, wish: dict[str, Any]) -> Payload:
    before = codec.payload_to_json(current)
    kind = wish.get("kind", before["kind"])
    merged = {**before, **wish} if kind == before["kind"] else {**wish, "kind": kind}
    return _payload({key: value for key, value in merged.items() if value is not None})


def _retargeted(job: Job, given: Mapping[str, Any]) -> Job:
    key = given.get("sessionKey", job.session_key)
    target = given.get("sessionTarget") or job.session_target
    return replace(job, session_key=key, session_target=checks.session_target(target, key))


def _redelivered(job: Job, given: Mapping[str, Any]) -> Job:
    wish = given.get("delivery")
    before = codec.delivery_to_json(job.delivery)
    if "delivery" in given and wish is None:
        return replace(
            job, delivery=codec.delivery_from_json(_delivery(None, job.payload, job.session_target))
        )
    if wish is None:
        if job.session_target == "main" and job.delivery.mode == "announce":
            # §10.1: moving to the main session ends the announcements of the job.
            return replace(job, delivery=codec.delivery_from_json({"mode": "none"}))
        return job
    wish = checks.delivery(wish)
    if wish.get("mode") == "webhook":
        checks.unmixed(wish)
        before = {key: value for key, value in before.items() if key not in CHAT_KEYS}
    elif job.delivery.mode == "webhook" and wish.get("mode") == "announce":
        before.pop("to", None)  # a URL is no chat
    merged = {**before, **wish}
    return replace(
        job,
        delivery=codec.delivery_from_json({k: v for k, v in merged.items() if v is not None}),
    )


def _relabelled(job: Job, given: Mapping[str, Any], now: datetime) -> Job:
    extra = {**job.extra, **{key: given[key] for key in EXTRA if key in given}}
    return replace(
        job,
        name=_name(given, job.payload) if "name" in given else job.name,
        display_name=given.get("displayName", job.display_name),
        description=given.get("description", job.description),
        agent_id=given.get("agentId", job.agent_id),
        wake_mode=checks.wake_mode(given.get("wakeMode"), job.wake_mode),
        enabled=_flag(given.get("enabled"), "enabled", default=job.enabled),
        delete_after_run=_flag(
            given.get("deleteAfterRun"), "deleteAfterRun", default=job.delete_after_run
        ),
        extra={key: value for key, value in extra.items() if value is not None},
        updated_at=whole_ms(now),
    )


__all__ = ["JUST_NOW", "Rules", "create", "patch", "same"]
