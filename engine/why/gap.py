"""Why there is no beat on record at an instant of the past: the missing row is explained too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Final

from engine.decisions.troubles import switched_off
from engine.why.chain import Code, Link, Standing, broken, unknown
from engine.why.facts import Gap
from engine.why.reasons import objection
from engine.why.recorded import down
from jobs.ids import made_at
from jobs.ledger import Run, SkipReason

CODES: Final = tuple(code for code in Code if code not in (Code.CONFIG, Code.LOGOUT))


def links(gap: Gap) -> tuple[Link, ...]:
    """Return the links at that instant: one says why nothing is known of the others."""
    found = _why(gap)
    lost = found.what if found.state is Standing.UNKNOWN else "no beat is on record then"
    return tuple(found if code is found.code else unknown(code, lost) for code in CODES)


def subject(gap: Gap) -> str:
    """Name what was asked for."""
    return f"{gap.agent_id} at {_stamp(gap.at, gap.zone)}"


def _why(gap: Gap) -> Link:
    if gap.at < gap.kept_since:
        since = _stamp(gap.kept_since, gap.zone)
        return unknown(Code.SCHEDULER, f"rows of beats are kept from {since} on, and it was before")
    if gap.counts_since is None and gap.before is None:
        if gap.off is not None:
            off = switched_off(gap.off)
            return objection(SkipReason.DISABLED, off.what, off.fix)
        what = f"no beat of {gap.agent_id} was ever planned in this store"
        return broken(Code.SCHEDULER, "not-armed", what, "engine gateway")
    if gap.before is None and gap.counts_since is not None and gap.at < gap.counts_since:
        since = _stamp(gap.counts_since, gap.zone)
        return broken(
            Code.SCHEDULER, "not-armed", f"no beat was planned before {since}, when they began"
        )
    return _between(gap)


def _between(gap: Gap) -> Link:
    """There are rows before it, or after it, or both."""
    known = " and ".join(_neighbours(gap))
    if gap.after is None:
        behind = gap.next_run_at is not None and gap.next_run_at <= gap.at
        if behind and not gap.live:
            due = _stamp(gap.next_run_at, gap.zone)
            what = f"no gateway has looked at it: a beat has been due since {due}; {known}"
            return broken(Code.GATEWAY, "stopped", what, "engine gateway")
        what = f"nothing was expected then: no beat was planned; {known}"
        return broken(Code.SCHEDULER, "not-armed", what, "engine cron audit")
    if gap.before is None or gap.before.boot_id != gap.after.boot_id:
        what = f"{_down(gap)}; {known}"
        return objection(SkipReason.MISSED_DOWNTIME, what)
    what = f"nothing was expected then, though the gateway ran; {known}"
    return broken(Code.SCHEDULER, "not-armed", what, "engine cron audit")


def _down(gap: Gap) -> str:
    """When the gateway was gone, as far as the record tells."""
    began = made_at(gap.after.boot_id) if gap.after is not None and gap.after.boot_id else None
    if began is None or gap.silent_since is None or gap.silent_since > began:
        return "the gateway ended and was started again around then"
    told = down(gap.silent_since, began, gap.zone)
    return told if gap.silent_since <= gap.at <= began else f"nothing was expected then; {told}"


def _neighbours(gap: Gap) -> Sequence[str]:
    told = []
    for word, run in (("the beat before it", gap.before), ("the one after it", gap.after)):
        if run is not None:
            told.append(f"{word} was at {_stamp(_at(run), gap.zone)}")
    return told or ["no beat is on record at all"]


def _at(run: Run) -> datetime | None:
    return run.slot_to or run.slot or run.claimed_at


def _stamp(at: datetime | None, zone: tzinfo) -> str:
    return "an unknown time" if at is None else f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S} ({zone})"
