"""Jobs: whose idea they were, where their words go, how often they spend money."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from engine.security.facts import Facts, JobFact
from engine.security.findings import Finding, Severity

_OFTEN: Final = timedelta(seconds=60)
_OWN: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_SHOWN: Final = 5


def _named(jobs: list[JobFact]) -> str:
    names = [f"{one.name} ({one.id})" for one in jobs[:_SHOWN]]
    more = len(jobs) - len(names)
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")


def untrusted(facts: Facts) -> Iterator[Finding]:
    """`scheduler.job_from_untrusted`: words from outside made an agent plan something."""
    found = [
        one
        for one in facts.jobs
        if one.enabled and one.by_agent and one.external and not one.confirmed
    ]
    if found:
        yield Finding(
            check_id="scheduler.job_from_untrusted",
            severity=Severity.WARN,
            title="jobs were made in turns that answered strangers",
            detail=f"{_named(found)}: nobody has confirmed them",
            remediation=f"engine cron show {found[0].id}, then engine cron rm {found[0].id}, or to"
            f" confirm it engine cron disable {found[0].id} && engine cron enable {found[0].id}",
        )


def webhooks(facts: Facts) -> Iterator[Finding]:
    """`scheduler.webhook_target_plain_http`: words that travel where anybody may read them."""
    found = [one for one in facts.jobs if one.enabled and _plain(one.webhook)]
    if found:
        yield Finding(
            check_id="scheduler.webhook_target_plain_http",
            severity=Severity.WARN,
            title="what jobs say is posted without TLS",
            detail=_named(found),
            remediation="give the job an https address",
        )


def _plain(url: str | None) -> bool:
    if not url:
        return False
    try:
        split = urlsplit(url.strip())
    except ValueError:
        return False
    return split.scheme.lower() == "http" and (split.hostname or "") not in _OWN


def often(facts: Facts) -> Iterator[Finding]:
    """`scheduler.unbounded_rate`: a model is asked more than once a minute."""
    found = [
        one
        for one in facts.jobs
        if one.enabled and one.asks_model and one.gap is not None and one.gap < _OFTEN
    ]
    if found:
        yield Finding(
            check_id="scheduler.unbounded_rate",
            severity=Severity.WARN,
            title="a model is asked more than once a minute",
            detail=_named(found),
            remediation=f"engine cron edit {found[0].id} --every 5m",
        )


CHECKS: Final = (untrusted, webhooks, often)
