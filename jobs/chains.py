"""Jobs that wait for one another: who would wait for itself (cron.md §22 row 17). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from jobs.model import Job

Find = Callable[[str], Job | None]


def circle(job: Job, find: Find) -> tuple[str, ...]:
    """Return the names along which a job would wait for itself; empty if it does not.

    ``find`` returns the job that a reference names, or None.
    """
    names, seen = [job.name], {job.id}
    current = job
    while current.policies.after is not None:
        other = find(current.policies.after.job)
        if other is None:
            return ()
        names.append(other.name)
        if other.id in seen:
            return tuple(names)
        seen.add(other.id)
        current = other
    return ()


def among(jobs: Iterable[Job]) -> Find:
    """Return a way to find jobs of a set by id, config key or name."""
    known: dict[str, Job] = {}
    for job in jobs:
        for name in (job.name, job.id.removeprefix("cfg:"), job.id):
            known.setdefault(name, job)
    return known.get


def missing(jobs: Iterable[Job], find: Find) -> Iterator[tuple[Job, str]]:
    """Yield the jobs that wait for or read from one that is not there, and what that means."""
    for job in jobs:
        after = job.policies.after
        if after is not None and find(after.job) is None:
            yield job, f"there is no job {after.job!r}: every slot is skipped until there is one"
        for ref in job.policies.context_from:
            if find(ref) is None:
                yield job, f"there is no job {ref!r}, whose output it asks for"


def circle_words(names: Iterable[str]) -> str:
    """Say a circle: `a waits for b, b waits for a`."""
    return ", ".join(f"{one} waits for {other}" for one, other in pairwise(names))
