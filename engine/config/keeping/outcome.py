"""What became of a change of the file, in one true sentence (operations.md §4.1). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from engine.config.reload import Class, Plan
from jobs.duration import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a gateway did about the file as it is now."""

    hash: str
    sentence: str
    changed: tuple[str, ...] = ()
    kind: Class = Class.NONE
    pending: tuple[str, ...] = ()


_SECOND: Final = timedelta(seconds=1)


def kind_of(plan: Plan) -> Class:
    """The heaviest class among the changes."""
    kinds = {change.kind for change in plan.changes}
    return next((one for one in (Class.RESTART, Class.HOT) if one in kinds), Class.NONE)


def unchanged(pending: Sequence[str]) -> str:
    """The sentence where the file says what is in force."""
    if pending:
        return f"Restart pending: {_named(pending)}."
    return "Applied live. Nothing in it differs from what is in force."


def applied(plan: Plan, pending: Sequence[str]) -> str:
    """The sentence of a change that was put in force, as far as it can be."""
    if pending:
        return f"Applied live, but for {_named(pending)}: restart pending (engine gateway restart)."
    if kind_of(plan) is Class.NONE:
        return "Applied live. It changes nothing in the running gateway."
    return f"Applied live. {_what(plan)}"


def _what(plan: Plan) -> str:
    acted = [name for action, _ in plan.actions if (name := _ACTED.get(action.value, ""))]
    return "; ".join(dict.fromkeys(acted)) + "." if acted else "The next run sees it."


_ACTED = {
    "restart-account": "The channel was started anew",
    "restart-channel": "The channel was started anew",
    "re-arm-cron": "The jobs were planned anew",
    "recompute-heartbeats": "The beats were planned anew",
    "resolve-secrets": "The secrets were read anew",
    "swap-auth": "Who came in by the old secret has to come again",
}


def restarting(plan: Plan, wait: timedelta) -> str:
    """The sentence of a change that ends this gateway, to begin it anew."""
    why = _named([change.dotted for change in plan.changes if change.kind is not Class.NONE])
    if wait > timedelta():
        seconds = timedelta(seconds=-(-wait // _SECOND))
        return f"Restarting gateway in {format_duration(seconds)} ({why})."
    return f"Restarting gateway ({why})."


def _named(paths: Sequence[str], most: int = 3) -> str:
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(paths[:most]) + more
