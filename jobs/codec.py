"""Jobs as JSON: the one mapping, for the store and for the wire (cron.md §1, §1.1, §1.2).

Keys are camelCase, instants integer UTC milliseconds. Reading is strict about what it
understands and keeps what it does not: unknown keys survive in `Job.extra`, so that a
definition written by a newer engine comes back whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, assert_never

from jobs import policies
from jobs.errors import InvalidJob, InvalidSchedule
from jobs.model import (
    ERRAND,
    AgentTurn,
    Command,
    DeliverySpec,
    Errand,
    HeartbeatBeat,
    Job,
    JobState,
    Misfire,
    Payload,
    Source,
    StoredJob,
    SystemEvent,
    WakeMode,
)
from jobs.schedule import schedule_from_json, schedule_to_json
from jobs.wallclock import EPOCH, MILLISECOND, ms

_UNREADABLE: Final = "engine cron rm with its id, then engine cron add makes it anew"
_NOT_DEFINITION: Final = ("createdAtMs", "updatedAtMs")
DELIVERY_KEYS: Final = frozenset({"mode", "channel", "to", "accountId", "threadId", "bestEffort"})
KNOWN: Final = frozenset(
    {
        "id",
        "name",
        "schedule",
        "payload",
        "agentId",
        "sessionTarget",
        "sessionKey",
        "wakeMode",
        "delivery",
        "enabled",
        "deleteAfterRun",
        "misfire",
        *policies.KEYS,
        "source",
        "declarationKey",
        "displayName",
        "description",
        *_NOT_DEFINITION,
    }
)


def job_to_json(job: Job) -> dict[str, Any]:
    """Return a definition as JSON; what is absent is left out (cron.md §1)."""
    known = {
        "id": job.id,
        "name": job.name,
        "displayName": job.display_name,
        "description": job.description,
        "agentId": job.agent_id,
        "sessionKey": job.session_key,
        "declarationKey": job.declaration_key,
        "enabled": job.enabled,
        "deleteAfterRun": job.delete_after_run or None,
        "createdAtMs": ms(job.created_at),
        "updatedAtMs": ms(job.updated_at),
        "schedule": schedule_to_json(job.schedule),
        "sessionTarget": job.session_target,
        "wakeMode": job.wake_mode.value,
        "payload": payload_to_json(job.payload),
        "delivery": delivery_to_json(job.delivery),
        "misfire": misfire_to_json(job.misfire),
        "source": job.source.value,
        **policies.to_json(job.policies),
    }
    return {**_present(known), **job.extra}


def job_from_json(data: Mapping[str, Any]) -> Job:
    """Return the job behind stored JSON. Raises `InvalidJob` naming what cannot be read."""
    if not isinstance(data, Mapping):
        raise InvalidJob(
            "job ? cannot be read",
            why=f"its definition is no object: {data!r:.40}",
            fix=_UNREADABLE,
        )
    try:
        return _job(data)
    except InvalidSchedule as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        raise InvalidJob(
            f"job {data.get('id', '?')} cannot be read", why=why, fix=error.fix
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise InvalidJob(
            f"job {data.get('id', '?')} cannot be read", why=why, fix=_UNREADABLE
        ) from error


@lru_cache(maxsize=2048)
def job_from_text(text: str) -> Job:
    """Return the job behind stored text; the jobs that run most often are read once."""
    data, end = _READ(text)  # `json.loads` looks for blanks around it
    return job_from_json(data if end == len(text) else json.loads(text))


_READ: Final = json.JSONDecoder().raw_decode


def revision(job: Job) -> str:
    """Return the hash of a definition: the same words in any order give the same revision."""
    return _revision(job_to_json(job))


def written(job: Job) -> tuple[str, str]:
    """Return a definition as the store keeps it, and its revision."""
    data = job_to_json(job)
    return _ROW(data), _revision(data)


_ROW: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_SORTED: Final = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True
).encode  # `json.dumps` makes an encoder for every call that is not plain


def _revision(data: Mapping[str, Any]) -> str:
    text = _SORTED({k: v for k, v in data.items() if k not in _NOT_DEFINITION})
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def stored_to_wire(stored: StoredJob) -> dict[str, Any]:
    """Return a job as `cron.list` and `cron.get` show it: definition, revision, state."""
    return {
        **job_to_json(stored.job),
        "configRevision": stored.revision,
        "state": state_to_json(stored.state),
    }


def state_to_json(state: JobState) -> dict[str, Any]:
    """Return what happened to a job so far (cron.md §1.2)."""
    skipped = state.last_status == "skipped"
    reason = None if state.last_reason is None else state.last_reason.value
    took = state.last_duration
    return _present(
        {
            "nextRunAtMs": ms(state.runs_next_at),
            "scheduleActivatedAtMs": ms(state.schedule_activated_at),
            "runningAtMs": ms(state.running_since),
            "lastRunAtMs": ms(state.last_run_at),
            "lastRunStatus": state.last_status,
            "lastStatus": state.last_status,
            "lastError": state.last_error,
            "lastErrorReason": None if skipped else reason,
            "lastSkipReason": reason if skipped else None,
            "lastDurationMs": None if took is None else took // MILLISECOND,
            "consecutiveErrors": state.consecutive_errors,
            "consecutiveSkipped": state.consecutive_skipped,
            "scheduleErrorCount": state.schedule_errors,
            "runCount": state.run_count,
            "okCount": state.ok_count,
            "errorCount": state.error_count,
            "skipCount": state.skip_count,
            "missedCount": state.missed_count,
            "retryAtMs": ms(state.retry_at),
            "orphanedAtMs": ms(state.orphaned_at),
            "autoDisabled": _auto_disabled(state),
            "paused": None if state.paused is None else dict(state.paused),
            "skips": dict(state.skips) or None,
            "alarm": dict(state.alarm) or None,
        }
    )


def _auto_disabled(state: JobState) -> dict[str, Any] | None:
    """Return why the engine switched a job off, and when: as the run ended that was too much."""
    if not state.auto_disabled:
        return None
    ended = state.last_run_at and state.last_run_at + (state.last_duration or timedelta())
    told = {"reason": state.auto_disabled, "atMs": ms(ended)}
    return _present({**told, "consecutiveErrors": state.consecutive_errors})


def payload_to_json(payload: Payload) -> dict[str, Any]:
    """Return a payload as JSON (cron.md §1.1)."""
    match payload:
        case SystemEvent():
            return {"kind": "systemEvent", "text": payload.text}
        case AgentTurn():
            return _present(
                {
                    "kind": "agentTurn",
                    "message": payload.message,
                    "model": payload.model,
                    "fallbacks": _list(payload.fallbacks),
                    "thinking": payload.thinking,
                    "timeoutSeconds": _seconds(payload.timeout),
                    "lightContext": payload.light_context or None,
                    "toolsAllow": _list(payload.tools_allow),
                    "allowUnsafeExternalContent": payload.allow_unsafe_external_content or None,
                    "external": payload.external or None,
                }
            )
        case Command():
            return _present(
                {
                    "kind": "command",
                    "argv": list(payload.argv),
                    "cwd": payload.cwd,
                    "env": dict(payload.env) or None,
                    "input": payload.stdin,
                    "timeoutSeconds": _seconds(payload.timeout),
                    "noOutputTimeoutSeconds": _seconds(payload.no_output_timeout),
                    "outputMaxBytes": payload.output_max_bytes,
                }
            )
        case HeartbeatBeat():
            return {"kind": "heartbeat"}
        case Errand(what=what, agent_id=agent_id, ref=ref):
            return {"kind": ERRAND, "what": what, "agentId": agent_id, "ref": ref}
        case _:
            assert_never(payload)


def payload_from_json(data: Mapping[str, Any]) -> Payload:
    """Return the payload behind JSON in its normal form."""
    match data["kind"]:
        case "systemEvent":
            return SystemEvent(text=_text(data, "text"))
        case "agentTurn":
            return AgentTurn(
                message=_text(data, "message"),
                model=data.get("model"),
                fallbacks=_tuple(data.get("fallbacks")),
                thinking=data.get("thinking"),
                timeout=_span(data.get("timeoutSeconds")),
                light_context=bool(data.get("lightContext", False)),
                tools_allow=_tuple(data.get("toolsAllow")),
                allow_unsafe_external_content=bool(data.get("allowUnsafeExternalContent", False)),
                external=bool(data.get("external", False)),
            )
        case "command":
            return Command(
                argv=_tuple(data["argv"]) or (),
                cwd=data.get("cwd"),
                env=dict(data.get("env") or {}),
                stdin=data.get("input"),
                timeout=_span(data.get("timeoutSeconds")),
                no_output_timeout=_span(data.get("noOutputTimeoutSeconds")),
                output_max_bytes=data.get("outputMaxBytes"),
            )
        case "heartbeat":
            return HeartbeatBeat()
        case "errand":
            return Errand(
                what=_text(data, "what"), agent_id=_text(data, "agentId"), ref=data.get("ref") or ""
            )
        case kind:
            raise ValueError(f"payload.kind {kind!r} is not known")


def delivery_to_json(delivery: DeliverySpec) -> dict[str, Any]:
    """Return a delivery wish as JSON (cron.md §10.1)."""
    known = {
        "mode": delivery.mode,
        "channel": delivery.channel,
        "to": delivery.to,
        "accountId": delivery.account_id,
        "threadId": delivery.thread_id,
        "bestEffort": delivery.best_effort or None,
    }
    return {**_present(known), **delivery.extra}


_NO_DELIVERY: Final = DeliverySpec()
_NOWHERE: Final = {"mode": "none"}  # as `delivery_to_json` writes it


def delivery_from_json(data: Mapping[str, Any]) -> DeliverySpec:
    """Return the delivery wish behind JSON in its normal form."""
    if data == _NOWHERE:
        return _NO_DELIVERY
    return DeliverySpec(
        mode=data.get("mode", "none"),
        channel=data.get("channel"),
        to=data.get("to"),
        account_id=data.get("accountId"),
        thread_id=data.get("threadId"),
        best_effort=bool(data.get("bestEffort", False)),
        extra=_others(data, DELIVERY_KEYS),
    )


def misfire_to_json(misfire: Misfire) -> dict[str, Any]:
    """Return a misfire policy as JSON (cron.md §7); a null grace is unlimited."""
    grace = None if misfire.grace is None else misfire.grace // MILLISECOND
    return {"policy": misfire.policy, "graceMs": grace, "maxCatchUp": misfire.max_catch_up}


def misfire_from_json(data: Mapping[str, Any]) -> Misfire:
    """Return the misfire policy behind JSON in its normal form."""
    return _misfire(
        data.get("policy", _PLAIN.policy),
        data.get("graceMs", 3_600_000),
        data.get("maxCatchUp", _PLAIN.max_catch_up),
    )


_PLAIN: Final = Misfire()


@lru_cache(maxsize=64)
def _misfire(policy: str, grace: int | None, most: int) -> Misfire:
    return Misfire(
        policy=policy, grace=None if grace is None else grace * MILLISECOND, max_catch_up=most
    )


def _job(data: Mapping[str, Any]) -> Job:
    created_at = _instant(data.get("createdAtMs"))
    return Job(
        id=_text(data, "id"),
        name=_text(data, "name"),
        schedule=schedule_from_json(
            data["schedule"], default_tz="UTC", job_id=data["id"], now=created_at or EPOCH
        ),
        payload=payload_from_json(data["payload"]),
        agent_id=data.get("agentId"),
        session_target=data.get("sessionTarget", "isolated"),
        session_key=data.get("sessionKey"),
        wake_mode=WakeMode(data.get("wakeMode", WakeMode.NOW)),
        delivery=delivery_from_json(data.get("delivery") or {}),
        enabled=bool(data.get("enabled", True)),
        delete_after_run=bool(data.get("deleteAfterRun", False)),
        misfire=misfire_from_json(data.get("misfire") or {}),
        policies=policies.from_json(data),
        source=Source(data.get("source", Source.RUNTIME)),
        declaration_key=data.get("declarationKey"),
        display_name=data.get("displayName"),
        description=data.get("description"),
        created_at=created_at,
        updated_at=_instant(data.get("updatedAtMs")),
        extra=_others(data, KNOWN),
    )


def _others(data: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return what nobody here understands yet, as it came."""
    if known.issuperset(data):
        return {}
    return {key: value for key, value in data.items() if key not in known}


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is not a text: {value!r}")
    return value


def _instant(value: int | None) -> datetime | None:
    return None if value is None else EPOCH + value * MILLISECOND


def _seconds(span: timedelta | None) -> int | float | None:
    if span is None:
        return None
    seconds = span.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)


def _tuple(values: Any) -> tuple[str, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list | tuple) or not all(isinstance(v, str) for v in values):
        raise ValueError(f"expected a list of texts, got {values!r}")
    return tuple(values)
