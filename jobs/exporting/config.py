"""Jobs as entries of `cron.jobs` in the config (cron.md §13)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from jobs.declared import KEY
from jobs.importing.report import digest

_NOT_ENTRY: Final = frozenset(
    {
        *("id", "source", "declarationKey", "createdAtMs", "updatedAtMs", "state"),
        *("configRevision", "nextRunAtMs", "effectiveAgentId", "deliveryPreview"),
    }
)
_NO_KEY: Final = re.compile(r"[^a-z0-9._-]+")


def entries(jobs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return key to entry; a job of the config keeps its key, others get one of their name."""
    made: dict[str, dict[str, Any]] = {}
    for job in jobs:
        made[_key(job, made)] = entry(job)
    return made


def entry(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return one job in its wire shape as the entry that declares it."""
    found = {key: value for key, value in job.items() if key not in _NOT_ENTRY}
    for key, usual in (("enabled", True), ("wakeMode", "now")):
        if found.get(key) == usual:
            del found[key]
    return found


def _key(job: Mapping[str, Any], taken: Mapping[str, Any]) -> str:
    ident = str(job.get("id", ""))
    if job.get("source") == "config" and ident.startswith("cfg:"):
        return ident.removeprefix("cfg:")
    name = _NO_KEY.sub("-", str(job.get("name", "")).lower()).strip("-._")[:50].rstrip("-._")
    key = name if KEY.fullmatch(name) else f"job-{digest(ident)}"
    return key if key not in taken else f"{key}-{digest(ident)[:6]}"
