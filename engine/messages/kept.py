"""Words that were said and reached nobody: what is kept of them, and where each stands. Pure.

heartbeat.md §13.1 (what is dropped), §25 rows 11 to 13; channels.md §11 (how messages end).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.media import called
from engine.messages.repetition import normalised, uncounted
from engine.workspace.checklist import ACK_TOKEN
from jobs.ledger import Outcome, Run, RunStatus, SkipReason
from jobs.wallclock import ms

DROPPED: Final = "dropped"  # it stood beside an acknowledgement
SENT: Final = "sent"  # it did arrive; kept because somebody snoozed, muted or judged it
SAID_AGAIN: Final = "saidAgain"  # note of a message whose words the newer one says too
RESTORED: Final = "restored"  # reason of messages called off because a backup was put back
UNSENT: Final = "unsent"  # in a run's reply: the words that would have gone out
MUTED_AFTER: Final = 3  # snoozes of the same words (heartbeat.md §25 row 13)
# Nobody misses anything by these: they are on record and ask for no look.
QUIET: Final = (
    DROPPED,
    SENT,
    SkipReason.DUPLICATE.value,
    SkipReason.MUTED.value,
    SkipReason.DIGEST.value,
)
_ENDED_UNSAID: Final = frozenset({State.FAILED, State.EXPIRED, State.CANCELLED, State.UNKNOWN})


class Stage(StrEnum):
    """Where kept words stand."""

    UNREAD = "unread"
    SNOOZED = "snoozed"  # asks again later
    MUTED = "muted"  # the same words are not sent any more
    RESENT = "resent"
    READ = "read"  # somebody acknowledged it
    NOTED = "noted"  # on record; nobody needs to look


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Words that reached nobody, and why; ``times``: how often the same since ``first_at``."""

    id: str
    text: str
    reason: str
    at: datetime
    kind: str
    because: str = ""
    number: int = 0  # as people type it
    agent_id: str | None = None
    run_id: str | None = None
    job_id: str | None = None
    delivery_key: str | None = None
    route: Route | None = None  # where it was meant to go; None: nowhere
    times: int = 1
    first_at: datetime | None = None
    seen_at: datetime | None = None
    until: datetime | None = None
    snoozes: int = 0
    muted_at: datetime | None = None
    resent_key: str | None = None

    @property
    def print(self) -> str:
        """What makes other words of the same agent the same alert again."""
        return print_of(self.agent_id, self.text)

    @property
    def base(self) -> str:
        """What a repetition of these words is named after, so that none is sent twice."""
        return self.delivery_key or self.id

    def stage(self, now: datetime) -> Stage:
        """Return where it stands."""
        if self.muted_at is not None:
            return Stage.MUTED
        if self.until is not None and self.until > now:
            return Stage.SNOOZED
        if self.resent_key is not None:
            return Stage.RESENT
        if self.seen_at is not None:
            return Stage.READ
        return Stage.NOTED if self.reason in QUIET else Stage.UNREAD


def print_of(agent_id: str | None, text: str) -> str:
    """Return the fingerprint of an alert: numbers, times and links do not make another one."""
    return hashlib.sha256(f"{agent_id or ''}\0{normalised(text)}".encode()).hexdigest()


def of_run(run: Run) -> Kept | None:
    """Return what a run said that was not sent; None if all of it was, or nothing was said."""
    if run.status is not RunStatus.OK:
        return None
    if run.outcome is Outcome.ALERT and run.delivery_key is None and run.reason is not None:
        text = str(run.reply.get(UNSENT) or run.reply.get("rawText") or "")
        return _of(run, text, run.reason.value, run.because)
    dropped = str(run.reply.get("droppedText") or "")
    if run.outcome is Outcome.ACKNOWLEDGED and any(c.isalnum() for c in dropped):
        return _of(run, dropped, DROPPED, f"it stood beside {ACK_TOKEN}, which says all is well")
    return None


def _of(run: Run, text: str, reason: str, because: str) -> Kept | None:
    at = run.ended_at or run.started_at or run.claimed_at
    if at is None or not text.strip():
        return None
    return Kept(
        id=f"run:{run.id}",
        text=text.strip(),
        reason=reason,
        because=because,
        at=at,
        kind=run.kind,
        agent_id=run.agent_id,
        run_id=run.id,
        job_id=run.job_id,
    )


def of_delivery(delivery: Delivery, at: datetime) -> Kept | None:
    """Return what is kept of a message that has ended; None if it arrived, or was only a test."""
    if delivery.state not in _ENDED_UNSAID or delivery.kind == "test":
        return None
    text = uncounted(delivery.text) or called(delivery.media)
    if text == ACK_TOKEN or delivery.notes.get(SAID_AGAIN):
        return None  # nothing to hear, or to be heard in the newer message
    return Kept(
        id=f"message:{delivery.key}",
        text=text,
        reason=_end(delivery),
        because=_why(delivery),
        at=at,
        kind=delivery.kind,
        agent_id=delivery.agent_id,
        run_id=delivery.run_id,
        job_id=delivery.job_id,
        delivery_key=delivery.key,
        route=delivery.route,
    )


def _end(delivery: Delivery) -> str:
    """Return the word people filter by: how it ended, and of a cancelled one why."""
    if delivery.state is State.CANCELLED:
        return delivery.reason or delivery.state.value
    return delivery.state.value


def _why(delivery: Delivery) -> str:
    error = delivery.last_error or {}
    told = [str(error.get(key) or "") for key in ("class", "code", "detail")]
    words = " ".join(dict.fromkeys(word for word in told if word))
    match delivery.state:
        case State.CANCELLED if delivery.reason == "superseded":
            return "a newer alert took its place before it was sent"
        case State.CANCELLED if delivery.reason == "overflow":
            return "too many messages waited for that account"
        case State.CANCELLED if delivery.reason == RESTORED:
            return "it waited when the backup was taken, and may have been sent since"
        case State.CANCELLED:
            return "an operator cancelled it"
        case State.EXPIRED:
            return f"its time was over before it could be sent{f' ({words})' if words else ''}"
        case State.UNKNOWN:
            return f"it may have arrived{f' ({words})' if words else ''}"
        case _:
            return words or delivery.reason or "it was refused"


def to_json(kept: Kept, now: datetime) -> dict[str, Any]:
    """Return kept words as clients get them."""
    route = kept.route
    words: dict[str, Any] = {
        "id": kept.id,
        "number": kept.number,
        "state": kept.stage(now).value,
        "reason": kept.reason,
        "because": kept.because or None,
        "text": kept.text,
        "kind": kept.kind,
        "agentId": kept.agent_id,
        "runId": kept.run_id,
        "jobId": kept.job_id,
        "deliveryKey": kept.delivery_key,
        "to": None if route is None else route.whom,
        "accountId": None if route is None else route.account_id,
        "atMs": ms(kept.at),
        "firstAtMs": ms(kept.first_at or kept.at),
        "times": kept.times,
        "seenAtMs": ms(kept.seen_at),
        "untilMs": ms(kept.until) if kept.until is not None and kept.until > now else None,
        "snoozes": kept.snoozes,
        "mutedAtMs": ms(kept.muted_at),
        "resentKey": kept.resent_key,
    }
    return {key: value for key, value in words.items() if value is not None}
