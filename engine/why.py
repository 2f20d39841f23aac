"""Why no message came, or when the next may: the way of a beat, link by link. Pure.

The fourteen links and their codes are operations.md §10.1's. A link is judged by the same
gates, routes and reasons that decide about a beat, so that the answer cannot disagree with
what the engine does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from engine.address import Route
from engine.delivery import Delivery, State
from engine.fault import remedy
from engine.gates import BeatSnapshot, Stop, walk
from engine.outbox import TERMINAL
from engine.route import LOCAL, NoRoute
from engine.troubles import nobody_may_write, split_fix, switched_off
from jobs.duration import format_duration
from jobs.ledger import Outcome, Run, RunStatus, SkipReason
from jobs.wallclock import ms


class Code(StrEnum):
    """The links of the way, in causal order. The list is closed."""

    CONFIG = "config"
    GATEWAY = "gateway"
    LOGOUT = "logout"
    SCHEDULER = "scheduler"
    HEARTBEAT = "heartbeat"
    WINDOW = "window"
    GATE = "gate"
    CHECKLIST = "checklist"
    MODEL = "model"
    REPLY = "reply"
    TARGET = "target"
    CHANNEL = "channel"
    POLICY = "policy"
    DELIVERY = "delivery"


class Standing(StrEnum):
    """How a link stands. Only a broken one can be the cause."""

    OK = "ok"
    BROKEN = "broken"
    WARN = "warn"
    WAITING = "waiting"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link. ``what`` is a clause that can follow "because"; ``fix`` a command or an act."""

    code: Code
    state: Standing
    what: str
    reason: str = ""
    fix: str = ""

    @property
    def name(self) -> str:
        """`target`, or `target.no-route`: only what is wrong has a reason in its name."""
        wrong = self.state in (Standing.BROKEN, Standing.WARN)
        return f"{self.code}.{self.reason}" if wrong and self.reason else str(self.code)

    def to_json(self) -> dict[str, str]:
        """The shape of `links`."""
        words = {"code": self.name, "state": str(self.state), "what": self.what, "fix": self.fix}
        return {key: value for key, value in words.items() if value}


def read(words: Mapping[str, Any]) -> Link:
    """Return a link from its JSON: a gateway tells what it knows, the command adds the rest."""
    code, _, reason = str(words["code"]).partition(".")
    return Link(
        code=Code(code),
        state=Standing(words["state"]),
        reason=reason,
        what=str(words["what"]),
        fix=str(words.get("fix") or ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account a message would leave by, as its channel reports it."""

    name: str  # telegram, or telegram/work
    connected: bool
    error: str | None = None  # class of the fault, or what the platform said


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the next beat would see."""

    snapshot: BeatSnapshot
    found: Route | NoRoute
    alerts: bool  # whether the channel shows them
    period: timedelta | None
    no_beats_because: str = ""
    next_due_at: datetime | None = None
    file_bytes: int | None = None  # of HEARTBEAT.md; None: there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about one agent's beats."""

    agent_id: str
    now: datetime
    seen: Seen | None = None  # None: the config cannot be read
    off: str | None = None  # whose beats somebody switched off: the agent's, or `*` for all
    scheduled: bool | None = None  # whether the store holds its next slot; None: it has none
    live: bool = False  # a gateway tells this
    failing: Mapping[str, str] = field(default_factory=dict)  # parts of the process
    model: str | None = None
    last: Run | None = None  # the newest beat that asked the agent
    counts: Mapping[str, int] = field(default_factory=dict)  # reasons of 24 h of skipped beats
    delivery: Delivery | None = None  # its newest message that nobody asked for
    account: Account | None = None  # None: no gateway tells
    ambiguous: tuple[str, ...] = ()  # channels with several accounts and no default
    closed: tuple[tuple[str, str], ...] = ()  # accounts nobody may write to


def links(facts: Facts) -> tuple[Link, ...]:
    """Return the links from the scheduler to the receipt, broken or not."""
    stops = (
        {stop.reason: stop for stop in walk(facts.seen.snapshot, facts.now)} if facts.seen else {}
    )
    return (
        _scheduler(facts),
        _heartbeat(facts, stops),
        _window(facts, stops),
        _gate(facts, stops),
        _checklist(facts, stops),
        _model(facts),
        _reply(facts),
        *_target(facts),
        _channel(facts),
        _policy(facts),
        _delivery(facts),
    )


def cause(chain: Sequence[Link]) -> Link | None:
    """Return the first broken link, which is why; None if none is."""
    return next((link for link in chain if link.state is Standing.BROKEN), None)


def fix_line(chain: Sequence[Link]) -> str:
    """Return what mends the broken links: one line to paste, or the first act that is needed.

    Settings come before the gateway starts, which stays in the foreground.
    """
    broken = [link for link in chain if link.state is Standing.BROKEN and link.fix]
    commands = [link.fix for link in broken if _is_command(link.fix)]
    commands.sort(key=lambda command: command.endswith(" gateway"))
    pasted = " && ".join(dict.fromkeys(commands))
    first = broken[0].fix if broken else ""
    return pasted or first


def _is_command(fix: str) -> bool:
    return fix.startswith("engine ") and "," not in fix and "(" not in fix


Stops = Mapping[SkipReason, Stop]

_R = SkipReason
_HEARTBEAT: Final = (_R.DISABLED, _R.NOT_ENROLLED, _R.PAUSED)
_GATE: Final = (
    _R.IDLE_PAUSED, _R.BUDGET_EXHAUSTED, _R.FLOOD,
    _R.CRON_IN_PROGRESS, _R.LANES_BUSY, _R.REQUESTS_IN_FLIGHT,
)  # fmt: skip
_OF_THE_MODEL: Final = (_R.SUSPENDED, _R.BACKOFF)  # held back by what the model did: no cause
_CHECKLIST: Final = (_R.INVALID_HEARTBEAT_FILE, _R.EMPTY_HEARTBEAT_FILE)
_POLICY: Final = (_R.ALERTS_DISABLED, _R.DM_BLOCKED)


def _first(code: Code, stops: Stops, reasons: Sequence[SkipReason]) -> Link | None:
    """The first gate of ``reasons`` that objects, as a broken link."""
    found = next((stops[one] for one in reasons if one in stops), None)
    return None if found is None else _objection(code, found.reason, found.because)


def _objection(code: Code, reason: SkipReason, because: str, fix: str = "") -> Link:
    return Link(
        code=code,
        state=Standing.BROKEN,
        reason=reason.value,
        what=because or _clause(reason.sentence),
        fix=fix or _commandlike(reason.fix),
    )


def _commandlike(fix: str) -> str:
    """`nothing: …` is no act."""
    return "" if fix.startswith("nothing") else fix


def _clause(sentence: str) -> str:
    return (sentence[:1].lower() + sentence[1:]).rstrip(".")


def _ok(code: Code, what: str) -> Link:
    return Link(code=code, state=Standing.OK, what=what)


def _unknown(code: Code, what: str = "the config cannot be read") -> Link:
    return Link(code=code, state=Standing.UNKNOWN, what=what)


def _scheduler(facts: Facts) -> Link:
    for part in ("scheduler", "clockwork", "loop"):
        if part in facts.failing:
            why, fix = split_fix(facts.failing[part])
            return Link(
                code=Code.SCHEDULER, state=Standing.BROKEN, reason="not-armed",
                what=f"the {part} fails: {why}", fix=fix or "engine gateway status",
            )  # fmt: skip
    if facts.scheduled is None or (not facts.scheduled and not facts.live):
        return _unknown(Code.SCHEDULER, f"no beat of {facts.agent_id} is planned yet")
    if not facts.scheduled:
        return Link(
            code=Code.SCHEDULER, state=Standing.BROKEN, reason="not-armed",
            what=f"no beat of {facts.agent_id} is planned in the store", fix="engine gateway",
        )  # fmt: skip
    return _ok(Code.SCHEDULER, "the next beat is planned")


def _heartbeat(facts: Facts, stops: Stops) -> Link:
    agent = facts.agent_id
    if facts.off is not None:
        off = switched_off(facts.off)
        return _objection(Code.HEARTBEAT, _R.DISABLED, off.what, off.fix)
    seen = facts.seen
    if seen is None:
        return _unknown(Code.HEARTBEAT)
    if seen.period is None:
        because = seen.no_beats_because or f"{agent} has no heartbeat of its own"
        return _objection(Code.HEARTBEAT, _R.NOT_ENROLLED, because)
    stopped = _first(Code.HEARTBEAT, stops, _HEARTBEAT)
    return stopped or _ok(Code.HEARTBEAT, f"{agent} beats every {format_duration(seen.period)}")


def _window(facts: Facts, stops: Stops) -> Link:
    seen = facts.seen
    if seen is None:
        return _unknown(Code.WINDOW)
    if (stop := stops.get(_R.QUIET_HOURS)) is not None:
        return _objection(Code.WINDOW, stop.reason, stop.because)
    if seen.next_due_at is None:
        return _unknown(Code.WINDOW, "no beat is due")
    hours = seen.snapshot.active_hours
    inside = f"; active {hours.describe()}" if hours else ""
    due = f"{seen.next_due_at.astimezone(seen.snapshot.zone):%Y-%m-%d %H:%M} ({seen.snapshot.zone})"
    return Link(
        code=Code.WINDOW,
        state=Standing.WAITING,
        reason=_R.NOT_DUE.value,
        what=f"the next beat is due at {due}{inside}",
    )


def _gate(facts: Facts, stops: Stops) -> Link:
    stopped = _first(Code.GATE, stops, _GATE)
    counted = ", ".join(f"{count} {reason}" for reason, count in facts.counts.items())
    skipped = f"skipped in the last 24 h: {counted}" if counted else "no beat was skipped in 24 h"
    if stopped is not None:
        return stopped
    for reason in _OF_THE_MODEL:
        if (stop := stops.get(reason)) is not None:
            return Link(
                code=Code.GATE, state=Standing.WAITING, reason=reason.value, what=stop.because
            )
    return _ok(Code.GATE, f"nothing holds it back now; {skipped}")


def _checklist(facts: Facts, stops: Stops) -> Link:
    seen = facts.seen
    if seen is None:
        return _unknown(Code.CHECKLIST)
    if (stopped := _first(Code.CHECKLIST, stops, _CHECKLIST)) is not None:
        return stopped
    if (stop := stops.get(_R.NO_TASKS_DUE)) is not None:
        return Link(
            code=Code.CHECKLIST,
            state=Standing.WAITING,
            reason=stop.reason.value,
            what=stop.because,
        )
    if seen.file_bytes is None:
        return _ok(Code.CHECKLIST, "there is no HEARTBEAT.md; the agent is asked without one")
    return _ok(Code.CHECKLIST, f"HEARTBEAT.md has {seen.file_bytes} bytes to look at")


def _model(facts: Facts) -> Link:
    last = facts.last
    if last is None:
        return _unknown(Code.MODEL, "the agent has not been asked yet")
    if last.status is RunStatus.FAILED:
        error = last.error or {}
        why, fix = split_fix(str(error.get("message") or last.because))
        return Link(
            code=Code.MODEL,
            state=Standing.BROKEN,
            reason=str(error.get("class") or "failed"),
            what=f"the last beat that asked the agent failed: {why}",
            fix=fix or f"engine chat --agent {facts.agent_id} hello",
        )
    if facts.model is None and facts.seen is not None:
        return Link(
            code=Code.MODEL,
            state=Standing.WARN,
            reason="offline",
            what="no model is configured: the built-in offline agent answers",
            fix="engine config set agents.defaults.model.primary YOUR_MODEL",
        )
    return _ok(Code.MODEL, f"{last.model or facts.model or 'the agent'} answered")


_NOTHING_TO_SAY: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.ACKNOWLEDGED: ("ok-token", "answered HEARTBEAT_OK: it saw nothing to tell"),
    Outcome.EMPTY: ("ok-empty", "answered nothing"),
}


def _reply(facts: Facts) -> Link:
    last = facts.last
    if last is None or last.status is RunStatus.FAILED:
        return _unknown(Code.REPLY, "there is no answer to look at")
    if last.outcome is not None and last.outcome in _NOTHING_TO_SAY:
        reason, did = _NOTHING_TO_SAY[last.outcome]
        return Link(
            code=Code.REPLY,
            state=Standing.BROKEN,
            reason=reason,
            what=f"at its last beat the agent {did}",
        )
    if last.reason is _R.DUPLICATE:
        return _objection(Code.REPLY, last.reason, last.because)
    return _ok(Code.REPLY, "the agent had something to say")


def _target(facts: Facts) -> Iterator[Link]:
    seen = facts.seen
    if seen is None:
        yield _unknown(Code.TARGET)
        return
    found = seen.found
    if isinstance(found, NoRoute) and found.reason not in _POLICY:
        yield _no_route(facts, found)
    else:
        yield _ok(Code.TARGET, _where(found))
    for channel in facts.ambiguous:
        named = isinstance(found, Route) and found.warning is None
        yield Link(
            code=Code.TARGET,
            state=Standing.WARN if named else Standing.BROKEN,
            reason="account-ambiguous",
            what=f"channels.{channel} has several accounts and no default: nobody chose one",
            fix=f"engine config set channels.{channel}.defaultAccount YOUR_ACCOUNT",
        )


def _no_route(facts: Facts, found: NoRoute) -> Link:
    if found.reason is _R.TARGET_NONE:
        fix = "engine config set agents.defaults.heartbeat.target last"
        return Link(
            code=Code.TARGET, state=Standing.BROKEN, reason="none", fix=fix,
            what=f"{found.because}: what a beat says is kept and goes to nobody",
        )  # fmt: skip
    told = facts.delivery
    spoilt = found.reason is _R.NO_ROUTE and told is not None and told.state is State.FAILED
    if spoilt:  # it is empty because of that message: the message is the cause
        return Link(
            code=Code.TARGET, state=Standing.WARN, reason=found.reason.value, what=found.because
        )
    return _objection(Code.TARGET, found.reason, found.because, found.fix)


def _where(found: Route | NoRoute) -> str:
    if isinstance(found, NoRoute):
        return "the target is known"
    place = (
        found.channel if found.account_id == "default" else f"{found.channel}/{found.account_id}"
    )
    return f"words go to {place} → {found.to} ({found.via})"


def _channel(facts: Facts) -> Link:
    seen, account = facts.seen, facts.account
    found = seen.found if seen is not None else None
    if not isinstance(found, Route):
        return _unknown(
            Code.CHANNEL, "no channel is chosen" if seen else "the config cannot be read"
        )
    if found.channel == LOCAL:
        return _ok(Code.CHANNEL, "the inbox of this machine is always there")
    if account is None:
        return _unknown(Code.CHANNEL, f"{found.channel} is configured (gateway down)")
    if account.connected:
        return _ok(Code.CHANNEL, f"{account.name} is connected")
    kind = (account.error or "").partition(":")[0]
    return Link(
        code=Code.CHANNEL,
        state=Standing.BROKEN,
        reason=kind if remedy(kind) else _R.CHANNEL_NOT_READY.value,
        what=f"{account.name} is not connected: {account.error or 'it is still connecting'}",
        fix=remedy(kind) or "engine channels status --probe",
    )


def _policy(facts: Facts) -> Link:
    seen = facts.seen
    if seen is None:
        return _unknown(Code.POLICY)
    if isinstance(seen.found, NoRoute) and seen.found.reason is _R.DM_BLOCKED:
        return _objection(Code.POLICY, seen.found.reason, seen.found.because)
    if not seen.alerts:
        because = "alerts of beats are switched off for the channel (showAlerts)"
        return _objection(Code.POLICY, _R.ALERTS_DISABLED, because)
    for channel, account in facts.closed:
        trouble = nobody_may_write(channel, account)
        return Link(
            code=Code.POLICY, state=Standing.WARN, reason="allow-from-empty",
            what=trouble.what, fix=trouble.fix,
        )  # fmt: skip
    return _ok(Code.POLICY, "alerts may be sent there")


def _delivery(facts: Facts) -> Link:
    told = facts.delivery
    if told is None:
        return _unknown(Code.DELIVERY, "no message of this agent was ever on its way")
    error = told.last_error or {}
    kind = str(error.get("class") or told.reason or told.state)
    detail = f": {error['detail']}" if error.get("detail") else ""
    at = f"{told.created_at:%Y-%m-%d %H:%M} UTC"
    whom = f"{told.route.channel} → {told.route.to}"
    if told.state is State.DELIVERED:
        return _ok(Code.DELIVERY, f"the message of {at} reached {whom}")
    if told.state is State.CANCELLED:
        return _ok(Code.DELIVERY, f"the message of {at} was withdrawn ({told.reason})")
    if told.state in TERMINAL:
        unsure = " for certain" if told.state is State.UNKNOWN else ""
        return Link(
            code=Code.DELIVERY,
            state=Standing.BROKEN,
            reason=kind,
            what=f"the message of {at} to {whom} did not arrive{unsure} ({kind}){detail}",
            fix=remedy(kind) or "engine channels status --probe",
        )
    stuck = bool(remedy(kind)) and told.attempts > 0
    return Link(
        code=Code.DELIVERY,
        state=Standing.BROKEN if stuck else Standing.WAITING,
        reason=kind,
        what=f"the message of {at} to {whom} waits ({told.attempts} attempts{detail})",
        fix=remedy(kind) if stuck else "",
    )


def to_json(facts: Facts) -> dict[str, Any]:
    """The shape of `heartbeat.explain`: the links a gateway can tell, and when the next beat is."""
    return {
        "agentId": facts.agent_id,
        "links": [link.to_json() for link in links(facts)],
        "nextDueAtMs": ms(facts.seen.next_due_at) if facts.seen is not None else None,
    }
