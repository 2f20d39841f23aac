"""Jobs as one JSON document that `jobs.importing.own` reads again without loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from jobs.importing.own import FORMAT

VERSION: Final = 1
# What the desk computes for whoever lists jobs.
_COMPUTED: Final = frozenset(
    {"configRevision", "nextRunAtMs", "effectiveAgentId", "deliveryPreview"}
)
# Of this process and this home, not of the job.
_PASSING: Final = frozenset(
    {
        *("runningAtMs", "queuedAtMs", "nextRunAtMs", "retryAtMs"),
        *("scheduleActivatedAtMs", "orphanedAtMs"),
    }
)


def document(jobs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return jobs in their wire shape (cron.md §1, §1.2) as a document."""
    return {"format": FORMAT, "version": VERSION, "jobs": [_job(job) for job in jobs]}


def _job(wire: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in wire.items() if key not in _COMPUTED}
    state = made.pop("state", None) or {}
    kept = {key: value for key, value in state.items() if key not in _PASSING}
    return {**made, "state": kept} if kept else made
