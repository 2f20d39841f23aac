"""Runs as rows: the one mapping between `Run` and the columns of `runs`. No SQLAlchemy here,
so that the command line reads the ledger without importing it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from jobs.ledger import Outcome, Run, RunStatus, SkipReason, Trigger, Usage
from jobs.wallclock import instant, ms

# What a fresh claim says; everything else has the table's defaults until the run ends.
CLAIM_COLUMNS: Final = (
    "id",
    "job_id",
    "kind",
    "agent_id",
    "trigger_kind",
    "status",
    "slot",
    "nominal_local",
    "tz",
    "dst",
    "job_name",
    "requested_at",
    "claimed_at",
    "boot_id",
)
RUN_COLUMNS: Final = (
    *CLAIM_COLUMNS,
    "slot_to",
    "slots",
    "reason",
    "because",
    "outcome",
    "attempt",
    "retry_of",
    "session_key",
    "started_at",
    "ended_at",
    "deferrals",
    "wake",
    "facts",
    "target",
    "reply",
    "usage",
    "model",
    "provider",
    "error",
    "delivery_key",
    "next_due_at",
)

_DEFAULTS: Final = {"slots": 1, "attempt": 1, "deferrals": 0}
_UNSAID: Final = tuple(_DEFAULTS.get(name) for name in RUN_COLUMNS[len(CLAIM_COLUMNS) :])


# `json.dumps` makes an encoder each time it is asked for anything but its defaults.
_WRITE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def text_of(mapping: Mapping[str, Any] | None) -> str | None:
    """Return JSON text; nothing for nothing."""
    return _WRITE(mapping) if mapping else None


def mapping_of(text: str | None) -> dict[str, Any]:
    """Return the mapping behind JSON text."""
    return json.loads(text) if text else {}


def containing(text: str) -> str:
    """Return the LIKE pattern of texts that contain this one, with ``!`` as its escape."""
    words = text.lower()
    for sign in "!%_":
        words = words.replace(sign, f"!{sign}")
    return f"%{words}%"


def plain(value: StrEnum | None) -> str | None:
    """Return the plain text of a word: the driver takes a subclass of text by a slow way."""
    return None if value is None else str.__str__(value)


def run_row(run: Run) -> tuple[Any, ...]:
    """Return a run as a row in the order of `RUN_COLUMNS`."""
    return (
        run.id,
        run.job_id,
        run.kind,
        run.agent_id,
        plain(run.trigger),
        plain(run.status),
        ms(run.slot),
        run.nominal_local,
        run.tz,
        run.dst,
        run.job_name,
        ms(run.requested_at),
        ms(run.claimed_at),
        run.boot_id,
        ms(run.slot_to),
        run.count,
        plain(run.reason),
        run.because or None,
        plain(run.outcome),
        run.attempt,
        run.retry_of,
        run.session_key,
        ms(run.started_at),
        ms(run.ended_at),
        run.deferrals,
        text_of(run.wake),
        text_of(run.facts),
        text_of(run.target),
        text_of(run.reply),
        usage_text(run.usage),
        run.model,
        run.provider,
        text_of(run.error),
        run.delivery_key,
        ms(run.next_due_at),
    )


def claim_rows(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]] | None:
    """Return rows cut to `CLAIM_COLUMNS`, or None if one of them says more than a fresh claim."""
    size = len(CLAIM_COLUMNS)
    return None if any(row[size:] != _UNSAID for row in rows) else [row[:size] for row in rows]


def run_of(row: Sequence[Any]) -> Run:
    """Return the run behind a row in the order of `RUN_COLUMNS`."""
    (
        run_id, job_id, kind, agent_id, trigger, status, slot, nominal_local, tz, dst, job_name,
        requested_at, claimed_at, boot_id, slot_to, slots, reason, because, outcome, attempt,
        retry_of, session_key, started_at, ended_at, deferrals, wake, facts, target, reply, usage,
        model, provider, error, delivery_key, next_due_at,
    ) = row  # fmt: skip
    return Run(
        id=run_id,
        job_id=job_id,
        kind=kind,
        agent_id=agent_id,
        trigger=Trigger(trigger),
        status=RunStatus(status),
        slot=instant(slot),
        slot_to=instant(slot_to),
        count=slots,
        reason=SkipReason(reason) if reason else None,
        because=because or "",
        outcome=Outcome(outcome) if outcome else None,
        nominal_local=nominal_local,
        tz=tz,
        dst=dst,
        attempt=attempt,
        retry_of=retry_of,
        job_name=job_name,
        session_key=session_key,
        requested_at=instant(requested_at),
        claimed_at=instant(claimed_at),
        started_at=instant(started_at),
        ended_at=instant(ended_at),
        deferrals=deferrals,
        wake=mapping_of(wake),
        facts=mapping_of(facts),
        target=mapping_of(target),
        reply=mapping_of(reply),
        usage=usage_of(usage),
        model=model,
        provider=provider,
        error=mapping_of(error) or None,
        delivery_key=delivery_key,
        next_due_at=instant(next_due_at),
        boot_id=boot_id,
    )


def cost_of(text: str) -> tuple[int, float]:
    """Return the tokens and the US dollars in usage as JSON text."""
    v = json.loads(text)
    return v["input"] + v["output"], v["costUsd"] or 0.0


def usage_text(usage: Usage | None) -> str | None:
    """Return usage as JSON text."""
    if usage is None:
        return None
    return text_of(
        {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cacheRead": usage.cache_read_tokens,
            "cacheWrite": usage.cache_write_tokens,
            "costUsd": usage.cost_usd,
        }
    )


def usage_of(text: str | None) -> Usage | None:
    """Return the usage behind JSON text."""
    if not text:
        return None
    v = json.loads(text)
    return Usage(
        input_tokens=v["input"],
        output_tokens=v["output"],
        cache_read_tokens=v["cacheRead"],
        cache_write_tokens=v["cacheWrite"],
        cost_usd=v["costUsd"],
    )
