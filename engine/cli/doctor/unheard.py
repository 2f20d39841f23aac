"""Words that went nowhere, for `engine doctor`: of jobs, and of messages in the outbox (§10).

What the next message of a beat meets is told by its links; here is what became of those before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from engine.cli.at_rest import Asked
from engine.cli.cron.doctor import all_jobs, of_words
from engine.cli.doctor.finding import Finding, Severity
from engine.messages.fault import remedy
from jobs.wallclock import ms

_LATELY: Final = timedelta(days=1)
_MOST: Final = 1000
_LOST: Final = ("failed", "expired")
_JOB: Final = "cron"  # of those the job itself tells
_HELD: Final = "in the chat: write to the bot; what is held for you is sent then"
_UNSURE: Final = "in the chat: look whether it has arrived"


def unheard(asked: Asked, now: datetime, agent_id: str | None) -> list[Finding]:
    """Return whose words reached nobody lately, and what mends the way of the next."""
    params = {"sinceMs": ms(now - _LATELY), "limit": _MOST, "agentId": agent_id}
    given = {key: value for key, value in params.items() if value is not None}
    entries = asked.call("outbox.list", given).get("entries") or ()
    jobs = all_jobs(asked)
    return [*of_jobs(jobs, agent_id), *of_messages(entries)]


def of_jobs(jobs: Iterable[Mapping[str, Any]], agent_id: str | None) -> Iterator[Finding]:
    """Yield the jobs that are on, and whose words went nowhere, or would."""
    for job in jobs:
        agent = str(job.get("agentId") or "")
        if not job.get("enabled", True) or (agent_id and agent and agent != agent_id):
            continue
        for what, fix in of_words(job):
            name = job.get("name") or job["id"]
            yield Finding(
                severity=Severity.ERROR,
                id="cron.job_no_target",
                what=f"cron job {name}: {what}",
                fix=fix,
                agents=(agent,) if agent else (),
            )


def of_messages(entries: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Yield what became of messages, newest first, by the place they were for and the reason.

    Of a place where a newer message arrived nothing failed is told: its way works again, and
    the words wait in the inbox.
    """
    works: set[tuple[str, str]] = set()
    groups: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    for one in entries:
        place, state = (str(one.get("accountId")), str(one["to"])), str(one["state"])
        if state == "delivered" and place not in _places(groups, _LOST):
            works.add(place)
        lost = state in _LOST and place not in works and one.get("kind") != _JOB
        if lost or state in ("unknown", "held"):
            groups.setdefault((*place, state, _reason(one)), []).append(one)
    for (_, to, state, reason), some in groups.items():
        yield _finding(to, state, reason, some)


def _places(
    groups: Mapping[tuple[str, str, str, str], object], states: tuple[str, ...]
) -> set[tuple[str, str]]:
    return {(account, to) for account, to, state, _ in groups if state in states}


def _reason(one: Mapping[str, Any]) -> str:
    return str((one.get("receipt") or {}).get("class") or one.get("reason") or one["state"])


def _finding(to: str, state: str, reason: str, some: list[Mapping[str, Any]]) -> Finding:
    many = "a message" if len(some) == 1 else f"{len(some)} messages"
    newest = some[0].get("receipt") or {}
    said = f": {newest['detail']}" if newest.get("detail") else ""
    channel, account = to.partition(":")[0], str(some[0].get("accountId") or "")
    # Of several bots one may fail where another arrives.
    if account not in ("", "default", to.partition(":")[2]):
        to = f"{to} by account {account}"
    match state:
        case "held":
            wait = "waits" if len(some) == 1 else "wait"
            what, fix = f"{many} to {to} {wait} until the person writes ({reason})", _HELD
        case "unknown":
            what, fix = f"{many} to {to} may not have arrived ({reason}{said})", _UNSURE
        case _:
            what = f"{many} to {to} did not arrive in the last day ({reason}{said})"
            fix = remedy(reason, channel, account) or "engine outbox list --state failed"
    return Finding(
        severity=Severity.ERROR if state in _LOST else Severity.WARN,
        id=f"delivery.{reason if state in _LOST else state}",
        what=what,
        fix=fix,
        agents=tuple(sorted({str(one["agentId"]) for one in some if one.get("agentId")})),
    )
