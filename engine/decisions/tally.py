"""What beats came to over a stretch of time: counted, in a sentence, in quarters of an hour. Pure.

heartbeat.md §20 (`history --summary`), §25 rows 1 and 22.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from engine.messages.delivery import State
from engine.messages.wire_word import wire_word
from jobs.ledger import NOTHING_SPENT, Outcome, RunStatus, SkipReason, Spent, Trigger, Usage
from jobs.wallclock import MILLISECOND, ms

CELL: Final = timedelta(minutes=15)  # every zone's midnight falls on one
GOAL: Final = 0.95  # §25-22: of the beats, and of the words
_UNDER_WAY: Final = frozenset({State.QUEUED, State.SENDING, State.HELD})


class Kind(StrEnum):
    """What a person sees of a beat at a glance, the most telling first."""

    FAILED = "failed"
    MISSED = "missed"
    UNSENT = "unsent"  # it said something that was not sent
    SENT = "sent"
    OPEN = "open"  # it waits, or runs
    RAN = "ran"  # nothing to say
    SKIPPED = "skipped"
    QUIET = "quiet"  # outside the active hours


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A row of the ledger as far as counting goes."""

    agent_id: str
    trigger: Trigger
    status: RunStatus
    at: datetime  # its slot, or when it was asked for
    claimed_at: datetime
    slot: datetime | None = None
    count: int = 1
    reason: SkipReason | None = None
    outcome: Outcome | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    deferrals: int = 0
    usage: Usage | None = None
    message: State | None = None  # where its words stand

    @property
    def word(self) -> str:
        """The word it is counted under: a status of the wire, or the reason of a skip."""
        word = wire_word(self.status, self.outcome, self.reason, self.message)
        if word != "skipped":
            return word
        return self.reason.value if self.reason else "cancelled"

    @property
    def kind(self) -> Kind:
        """What of it is drawn."""
        match wire_word(self.status, self.outcome, self.reason, self.message):
            case "failed":
                return Kind.FAILED
            case "sent":
                return Kind.OPEN if self.message in _UNDER_WAY else Kind.SENT
            case "ok-token" | "ok-empty":
                return Kind.RAN
            case "skipped":
                return self._skipped()
            case _:
                return Kind.OPEN

    def _skipped(self) -> Kind:
        if self.status is RunStatus.MISSED:
            return Kind.MISSED
        if self.status is RunStatus.OK:
            return Kind.UNSENT
        return Kind.QUIET if self.reason is SkipReason.QUIET_HOURS else Kind.SKIPPED

    @property
    def waited(self) -> timedelta:
        """How long something was in its way."""
        end = self.started_at or self.ended_at
        return end - self.claimed_at if self.deferrals and end is not None else timedelta()

    @property
    def lag(self) -> timedelta | None:
        """How late a slot was looked at; None for what has none, or was made up for."""
        if self.slot is None or self.trigger is not Trigger.SCHEDULE:
            return None
        return None if self.status is RunStatus.MISSED else self.claimed_at - self.slot


# -- counted -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What an audit says of an agent's slots (`jobs.audit`)."""

    expected: int = 0
    recorded: int = 0
    missing: int = 0
    holes: Sequence[tuple[datetime, datetime, int]] = ()
    waiting: int = 0


def together(ledgers: Iterable[Ledger]) -> Ledger:
    """Return what audits of several agents say; of which hole it is, only each alone tells."""
    found = list(ledgers)
    return Ledger(
        expected=sum(one.expected for one in found),
        recorded=sum(one.recorded for one in found),
        missing=sum(one.missing for one in found),
        waiting=sum(one.waiting for one in found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Beats of one agent, or of all."""

    slots: int = 0
    wakes: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)  # word → how many, most first
    deferred: int = 0
    waited: timedelta = timedelta()
    spent: Spent = NOTHING_SPENT
    lags: Sequence[timedelta] = ()  # shortest first
    done: int = 0  # slots that ran, or were skipped by a rule
    alerts: int = 0  # words that were to arrive, and have had their time
    delivered: int = 0
    cells: Mapping[datetime, Mapping[str, int]] = field(default_factory=dict)
    kinds: Mapping[datetime, Mapping[Kind, int]] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """`26 slots: 18 empty-heartbeat-file, 6 quiet-hours, 1 sent; 1 deferred 40 s`."""
        if not self.slots and not self.wakes:
            return "No beats."
        heads = [_many(self.slots, "slot")] if self.slots else []
        heads += [_many(self.wakes, "wake")] if self.wakes else []
        words = ", ".join(f"{count} {word}" for word, count in self.counts.items())
        waits = f"; {self.deferred} deferred {span_words(self.waited)}" if self.deferred else ""
        return f"{' and '.join(heads)}: {words}{waits}"


def tally(beats: Iterable[Beat]) -> Tally:
    """Count beats."""
    found = list(beats)
    counts: Counter[str] = Counter()
    cells: dict[datetime, Counter[str]] = {}
    kinds: dict[datetime, Counter[Kind]] = {}
    for beat in found:
        counts[beat.word] += beat.count
        cell = floored(beat.at)
        cells.setdefault(cell, Counter())[beat.word] += beat.count
        kinds.setdefault(cell, Counter())[beat.kind] += beat.count
    waiting = [beat for beat in found if beat.waited]
    said = [beat for beat in found if _was_to_arrive(beat)]
    return Tally(
        slots=sum(beat.count for beat in found if beat.slot is not None),
        wakes=sum(beat.count for beat in found if beat.slot is None),
        counts=dict(sorted(counts.items(), key=lambda one: (-one[1], one[0]))),
        deferred=len(waiting),
        waited=sum((beat.waited for beat in waiting), timedelta()),
        spent=_spent(found),
        lags=sorted(lag for beat in found if (lag := beat.lag) is not None),
        done=sum(beat.count for beat in found if beat.slot is not None and _as_planned(beat)),
        alerts=len(said),
        delivered=sum(beat.message is State.DELIVERED for beat in said),
        cells=cells,
        kinds=kinds,
    )


def floored(at: datetime) -> datetime:
    """Return the quarter of an hour an instant lies in."""
    return at - timedelta(
        minutes=at.minute % (CELL // timedelta(minutes=1)),
        seconds=at.second,
        microseconds=at.microsecond,
    )


def _as_planned(beat: Beat) -> bool:
    """Whether a slot came to what the rules have for it: it ran, or a rule skipped it."""
    if beat.reason is SkipReason.INTERRUPTED:
        return False
    return beat.status in (RunStatus.OK, RunStatus.SKIPPED)


def _was_to_arrive(beat: Beat) -> bool:
    """Whether a beat had words for a person, and it is known whether they arrived."""
    if beat.outcome is not Outcome.ALERT or beat.message is None:
        return False
    return beat.message not in _UNDER_WAY and beat.message is not State.CANCELLED


def _spent(beats: Sequence[Beat]) -> Spent:
    used = [beat.usage for beat in beats if beat.usage is not None]
    return Spent(
        runs=len(used),
        tokens=sum(usage.total_tokens for usage in used),
        usd=sum(usage.cost_usd or 0.0 for usage in used),
    )


# -- how well ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """How well beats keep their promise over a window (heartbeat.md §25 row 22)."""

    lag_p50: timedelta | None
    lag_p99: timedelta | None
    lag_max: timedelta | None
    expected: int
    done: int
    alerts: int
    delivered: int

    @property
    def beat_rate(self) -> float | None:
        """Of the slots expected, how many came to what the rules have for them."""
        return min(self.done / self.expected, 1.0) if self.expected else None

    @property
    def delivery_rate(self) -> float | None:
        """Of the words for a person, how many arrived."""
        return self.delivered / self.alerts if self.alerts else None

    @property
    def misses(self) -> tuple[str, ...]:
        """Say which goals are missed."""
        found = []
        if self.beat_rate is not None and self.beat_rate < GOAL:
            found.append(f"{self.done} of {self.expected} beats were done ({self.beat_rate:.1%})")
        if self.delivery_rate is not None and self.delivery_rate < GOAL:
            found.append(
                f"{self.delivered} of {self.alerts} alerts arrived ({self.delivery_rate:.1%})"
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return it as `heartbeat slo --json` prints it."""
        return {
            "ok": not self.misses,
            "goal": GOAL,
            "misses": list(self.misses),
            "lagMs": {
                "p50": whole_ms(self.lag_p50),
                "p99": whole_ms(self.lag_p99),
                "max": whole_ms(self.lag_max),
            },
            "beats": {"expected": self.expected, "done": self.done, "rate": self.beat_rate},
            "delivery": {
                "alerts": self.alerts,
                "delivered": self.delivered,
                "rate": self.delivery_rate,
            },
        }

    def metrics(self) -> dict[str, float]:
        """Return the figures by the names a page of metrics gives them."""
        told = {
            "heartbeat_slot_lag_p50_seconds": _seconds(self.lag_p50),
            "heartbeat_slot_lag_p99_seconds": _seconds(self.lag_p99),
            "heartbeat_expected": float(self.expected),
            "heartbeat_done": float(self.done),
            "heartbeat_delivery_rate": self.delivery_rate,
        }
        return {name: value for name, value in told.items() if value is not None}


def slo(found: Tally, ledger: Ledger) -> Slo:
    """Say how well beats went."""
    return Slo(
        lag_p50=_percentile(found.lags, 0.50),
        lag_p99=_percentile(found.lags, 0.99),
        lag_max=found.lags[-1] if found.lags else None,
        expected=max(ledger.expected + ledger.waiting, found.done),
        done=found.done,
        alerts=found.alerts,
        delivered=found.delivered,
    )


def _percentile(lags: Sequence[timedelta], share: float) -> timedelta | None:
    """Return the nearest rank: a value that was there, not one in between."""
    if not lags:
        return None
    return lags[min(len(lags) - 1, max(0, -int(-share * len(lags) // 1) - 1))]


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()


def whole_ms(span: timedelta | None) -> int | None:
    """Return a span in milliseconds."""
    return None if span is None else span // MILLISECOND


# -- told --------------------------------------------------------------------------------------


def to_json(found: Tally, ledger: Ledger, *, cells: bool = True) -> dict[str, Any]:
    """Return a tally as `heartbeat history --summary --json` prints it."""
    told: dict[str, Any] = {
        "sentence": found.sentence,
        "slots": found.slots,
        "wakes": found.wakes,
        "counts": dict(found.counts),
        "deferred": {"count": found.deferred, "ms": whole_ms(found.waited)},
        "expected": ledger.expected,
        "recorded": ledger.recorded,
        "missing": ledger.missing,
        "waiting": ledger.waiting,
        "holes": [
            {"fromMs": ms(first), "toMs": ms(last), "count": count}
            for first, last, count in ledger.holes
        ],
        "cost": {"runs": found.spent.runs, "tokens": found.spent.tokens, "usd": found.spent.usd},
        "slo": slo(found, ledger).to_json(),
    }
    if cells:
        told["cells"] = [
            {
                "atMs": ms(at),
                "counts": dict(counts),
                "kinds": {kind.value: n for kind, n in found.kinds[at].items()},
            }
            for at, counts in sorted(found.cells.items())
        ]
    return told


def span_words(span: timedelta) -> str:
    """`40 s`, `12 min`, `3 h 5 min`."""
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
