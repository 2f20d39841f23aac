"""The links from the agent on: model, reply, target, channel, policy, delivery."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from engine.decisions.troubles import split_fix
from engine.messages.address import Route
from engine.messages.delivery import Delivery, State
from engine.messages.fault import remedy
from engine.messages.outbox import TERMINAL
from engine.messages.remedy import way_fix
from engine.messages.route import LOCAL, NoRoute
from engine.why.chain import Code, Link, broken, ok, unknown, waits, warned
from engine.why.facts import Facts, Seen
from engine.why.reasons import objection, place
from jobs.ledger import Outcome, Run, RunStatus, SkipReason

_R = SkipReason
NOTHING_TO_SAY: Final[Mapping[Outcome, tuple[str, str]]] = {
    Outcome.ACKNOWLEDGED: ("ok-token", "answered HEARTBEAT_OK: it saw nothing to tell"),
    Outcome.EMPTY: ("ok-empty", "answered nothing"),
}
_A_MODEL: Final = "engine config set agents.defaults.model.primary YOUR_MODEL"
LACKS: Final = "so every beat fails: "
_HELD: Final = "in the chat: write to the bot; what is held for you is sent then"
ITS_CHOICE: Final = "nothing: the agent decides; it is told in its prompt what is worth a message"


def failure(run: Run, agent_id: str) -> tuple[str, str, str]:
    """Return the class of a run's failure, what happened, and what to do."""
    error = run.error or {}
    why, fix = split_fix(str(error.get("message") or run.because))
    kind = str(error.get("class") or run.reason or "failed")
    return kind, why or kind, fix or f"engine chat --agent {agent_id} hello"


def model(facts: Facts) -> Link:
    """Whether the agent answered when it was last asked, and can be asked as it is set now."""
    last = facts.last
    if facts.model_fault and facts.model:
        what = f"model {facts.model} cannot be asked, {LACKS}{facts.model_fault}"
        return broken(Code.MODEL, "unknown", what, facts.model_fix)
    if last is None:
        return unknown(Code.MODEL, "the agent has not been asked yet")
    if last.status is RunStatus.FAILED:
        kind, why, fix = failure(last, facts.agent_id)
        if (then := last.facts.get("modelPrint")) and facts.model_print not in ("", then):
            what = f"the model was changed since it failed ({why}): the next beat asks the new one"
            return waits(Code.MODEL, kind, what)
        return broken(Code.MODEL, kind, f"the last beat that asked the agent failed: {why}", fix)
    if facts.model is None and facts.seen is not None:
        what = "no model is configured: the built-in offline agent answers"
        return warned(Code.MODEL, "offline", what, _A_MODEL)
    return ok(Code.MODEL, f"{last.model or facts.model or 'the agent'} answered")


def reply(facts: Facts) -> Link:
    """Whether it had something to say."""
    last = facts.last
    if last is None or last.status is RunStatus.FAILED:
        return unknown(Code.REPLY, "there is no answer to look at")
    if last.outcome is not None and last.outcome in NOTHING_TO_SAY:
        reason, did = NOTHING_TO_SAY[last.outcome]
        if facts.model is None and facts.seen is not None:
            what = f"no model is configured, and the built-in offline agent {did}"
            return broken(Code.REPLY, reason, what, _A_MODEL)
        return broken(Code.REPLY, reason, f"at its last beat the agent {did}", ITS_CHOICE)
    if last.reason is not None and place(last.reason) is Code.REPLY:
        return objection(last.reason, last.because)
    return ok(Code.REPLY, "the agent had something to say")


def target(facts: Facts) -> Iterator[Link]:
    """Where the words would go; and channels of several accounts of which nobody chose one."""
    seen = facts.seen
    if seen is None:
        yield unknown(Code.TARGET)
        return
    found = seen.found
    if isinstance(found, NoRoute) and place(found.reason) is Code.TARGET:
        yield _no_route(facts, seen, found)
    else:
        yield ok(Code.TARGET, _where(found))
    chosen = isinstance(found, Route) and found.warning is None
    for channel, account in facts.ambiguous.items():
        what = f"channels.{channel} has several accounts and no default: nobody chose one"
        path = shlex.quote(account)
        fix = f"engine config set channels.{channel}.defaultAccount {path}"
        yield (warned if chosen else broken)(Code.TARGET, "account-ambiguous", what, fix)


def _no_route(facts: Facts, seen: Seen, found: NoRoute) -> Link:
    fix = way_fix(found, seen.keys)
    if found.reason is _R.TARGET_NONE:
        because = f"{found.because}: what a beat says is kept and goes to nobody"
        return objection(found.reason, f"{because}{_would(seen.would)}", fix)
    told = facts.delivery
    spoilt = found.reason is _R.NO_ROUTE and told is not None and told.state is State.FAILED
    if spoilt or _cut_off(facts):  # it is empty because of that: no conversation is the effect
        return warned(Code.TARGET, found.reason, found.because)
    return objection(found.reason, found.because, fix)


def _cut_off(facts: Facts) -> bool:
    """Whether nobody could write, as the account they would write to does not work."""
    seen, account = facts.seen, facts.account
    empty = (
        seen is not None and isinstance(seen.found, NoRoute) and seen.found.reason is _R.NO_ROUTE
    )
    return empty and account is not None and not account.connected and bool(account.error)


def _would(found: Route | NoRoute | None) -> str:
    if found is None:
        return ""
    if isinstance(found, NoRoute):
        return f"; and with last: {found.because}"
    return f"; last would lead to {_account(found)} → {found.to}"


def _where(found: Route | NoRoute) -> str:
    if isinstance(found, NoRoute):
        return "the target is known"
    return f"words go to {_account(found)} → {found.to} ({found.via})"


def _account(route: Route) -> str:
    default = route.account_id == "default"
    return route.channel if default else f"{route.channel}/{route.account_id}"


def channel(facts: Facts) -> Link:
    """Whether the account is connected the words would leave by."""
    seen, account = facts.seen, facts.account
    found = seen.found if seen is not None else None
    if not isinstance(found, Route) and not _cut_off(facts):
        what = "no channel is chosen" if seen else "the config cannot be read"
        return unknown(Code.CHANNEL, what)
    if isinstance(found, Route) and found.channel == LOCAL:
        return ok(Code.CHANNEL, "the inbox of this machine is always there")
    if account is None:
        down = "" if facts.live else " (gateway down)"
        name = found.channel if isinstance(found, Route) else "a channel"
        return unknown(Code.CHANNEL, f"{name} is configured{down}")
    if account.connected:
        return ok(Code.CHANNEL, f"{account.name} is connected")
    kind = (account.error or "").partition(":")[0]
    reason = kind if remedy(kind) else _R.CHANNEL_NOT_READY.value
    what = f"{account.name} is not connected: {account.error or 'it is still connecting'}"
    name, _, account_id = account.name.partition("/")
    fix = remedy(kind, name, account_id or "default") or "engine channels status --probe"
    return broken(Code.CHANNEL, reason, what, fix)


def policy(facts: Facts) -> Link:
    """Whether what the config allows lets words through."""
    seen = facts.seen
    if seen is None:
        return unknown(Code.POLICY)
    if isinstance(seen.found, NoRoute) and seen.found.reason is _R.DM_BLOCKED:
        return objection(seen.found.reason, seen.found.because, way_fix(seen.found, seen.keys))
    if not seen.alerts:
        because = "alerts of beats are switched off for the channel (showAlerts)"
        fix = f"engine config set {shlex.quote(seen.alerts_key)} true"
        return objection(_R.ALERTS_DISABLED, because, fix)
    return ok(Code.POLICY, "alerts may be sent there")


def delivery(told: Delivery | None, none: str) -> Link:
    """What became of a message; ``none`` says why there is none to tell of."""
    if told is None:
        return unknown(Code.DELIVERY, none)
    error = told.last_error or {}
    kind = str(error.get("class") or told.reason or told.state)
    detail = f": {error['detail']}" if error.get("detail") else ""
    at = f"{told.created_at:%Y-%m-%d %H:%M} UTC"
    whom = f"{_account(told.route)} → {told.route.shown}"
    fix = remedy(kind, told.route.channel, told.route.account_id)
    if told.state is State.DELIVERED:
        receipt = f" (receipt {told.message_ids[-1]})" if told.message_ids else ""
        return ok(Code.DELIVERY, f"the message of {at} reached {whom}{receipt}")
    if told.state is State.CANCELLED:
        return ok(Code.DELIVERY, f"the message of {at} was withdrawn ({told.reason})")
    if told.state in TERMINAL:
        unsure = " for certain" if told.state is State.UNKNOWN else ""
        what = f"the message of {at} to {whom} did not arrive{unsure} ({kind}){detail}"
        return broken(Code.DELIVERY, kind, what, fix or "engine channels status --probe")
    if told.state is State.HELD:
        what = f"the message of {at} to {whom} is held until the person writes ({kind})"
        return broken(Code.DELIVERY, kind, what, _HELD)
    what = f"the message of {at} to {whom} waits ({told.attempts} attempts{detail})"
    if fix and told.attempts > 0:
        return broken(Code.DELIVERY, kind, what, fix)
    return waits(Code.DELIVERY, kind, what)
