"""The jobs the config declares: judged together, and whose they are when somebody edits one.

cron.md §13. Writing them is the desk's: one transaction for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from engine.config.json5 import Place
from jobs import declared, edit, pages
from jobs.codec import revision
from jobs.declared import Declared, Plan, Problem
from jobs.errors import ConfigInvalid, ConfigOwned, InvalidJob
from jobs.model import SYSTEMS_OWN, Job, Source, StoredJob


@dataclass(frozen=True, slots=True)
class Declaration:
    """The jobs of one config, judged, and where each of them stands."""

    jobs: Sequence[Declared]
    places: Mapping[str, Place]


class ConfigJobs:
    """What is in force of the config's jobs, and what is wrong with the file on disk."""

    def __init__(self) -> None:
        self._places: Mapping[str, Place] = {}
        self._revision: str | None = None
        self._errors: tuple[str, ...] = ()
        self._taken_over: tuple[str, ...] = ()  # told by the last plan

    def status(self) -> dict[str, Any]:
        """Return their part of `cron.status`."""
        return {"configRevision": self._revision, "configErrors": list(self._errors)}

    @property
    def remarks(self) -> tuple[object, ...]:
        """What `status` hangs on, as a value that can be compared."""
        return self._revision, self._errors

    def file_told(self, problems: Sequence[str]) -> None:
        """Keep why the file on disk is not in force; nothing: it is."""
        self._errors = tuple(problems)

    def judged(
        self, entries: Mapping[str, Any], places: Mapping[str, Place], rules: edit.Rules
    ) -> Declaration:
        """Return the jobs of a config; one bad entry raises `ConfigInvalid` for all."""
        jobs, problems = declared.expand(entries, rules)
        self._refuse(problems, places)
        return Declaration(jobs, places)

    def plan(
        self,
        wish: Declaration,
        stored: Sequence[StoredJob],
        *,
        now: datetime,
        removal: str,
        orphan_retention: timedelta,
    ) -> Plan:
        """Return what becomes of the stored jobs. Raises `ConfigInvalid` where two collide."""
        self._refuse(declared.collisions(wish.jobs, stored), wish.places)
        keys = sorted(declared.adopted(wish.jobs, stored))
        self._taken_over = tuple(_line(_taken_over(key), wish.places.get(key)) for key in keys)
        return declared.plan(
            wish.jobs, stored, now=now, removal=removal, orphan_retention=orphan_retention
        )

    def applied(self, wish: Declaration) -> None:
        """Keep a declaration as the one in force."""
        self._places = wish.places
        self._errors = self._taken_over
        self._revision = pages.snapshot((one.key, revision(one.job)) for one in wish.jobs)

    def refuse_owned(self, stored: StoredJob, *, removal: bool = False) -> None:
        """Raise for a job that is not changed at run time: the system's, or the config's."""
        job = stored.job
        if job.source is Source.SYSTEM or isinstance(job.payload, SYSTEMS_OWN):
            beat = isinstance(job.payload, SYSTEMS_OWN)
            raise InvalidJob(
                f"job {job.id} was not changed",
                why="it is the system's" if beat else "it is a task of a HEARTBEAT.md",
                fix="change the agent's heartbeat block in the config"
                if beat
                else "change it there: engine heartbeat tasks",
            )
        if job.source is Source.CONFIG and stored.state.orphaned_at is None:
            raise self._owned(job)
        if job.source is Source.CONFIG and not removal:
            key = declared.key_of(job)
            raise ConfigOwned(
                f'job "{key}" was taken out of the config (cron.jobs.{key})',
                fix=f"put it back there, or remove it for good: engine cron rm {job.id}",
                file="",
                line=0,
                key=f"cron.jobs.{key}",
            )

    def _owned(self, job: Job) -> ConfigOwned:
        key = declared.key_of(job)
        place = self._places.get(key)
        where = "the config" if place is None else f"{place.file}:{place.line}"
        path = f"cron.jobs.{key}"
        return ConfigOwned(
            f'job "{key}" is defined in {where} ({path}); edit the config, or run'
            f" 'engine cron adopt {key}' to take it over at runtime",
            fix=f"edit {path} in {where}, or: engine cron adopt {key}",
            file="" if place is None else place.file,
            line=0 if place is None else place.line,
            key=path,
        )

    def _refuse(self, problems: Sequence[Problem], places: Mapping[str, Place]) -> None:
        if not problems:
            return
        self._errors = tuple(_line(problem, places.get(problem.key)) for problem in problems)
        raise ConfigInvalid(
            "the jobs of the config were not applied; the previous ones keep running",
            why="; ".join(self._errors),
            fix="correct them, then: engine config validate",
            problems=self._errors,
        )


def _taken_over(key: str) -> Problem:
    text = f"it was taken over at run time (engine cron adopt {key}); remove it from the config"
    return Problem(key=key, text=text)


def _line(problem: Problem, place: Place | None) -> str:
    where = "" if place is None else f"{place.file}:{place.line}: "
    return f"{where}cron.jobs.{problem.key}: {problem.text}"
