"""Jobs from elsewhere at the desk: judged one by one, written all at once (cron.md §22-11).

What the readers of `jobs.importing` found comes here as plain values, over the wire or not. An
entry that no job can be made of is told and holds up no other. Importing again converges: a
job is known by its key, and what it did before is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from engine.clock import Clock
from engine.scheduling import writing
from jobs import edit
from jobs.codec import revision
from jobs.due import first_run
from jobs.errors import Conflict, EngineError, InvalidInput, InvalidJob
from jobs.importing import past
from jobs.importing.report import Remark, Weight
from jobs.ledger import Run
from jobs.model import Job, Source, StoredJob
from jobs.store import imported, jobs as job_rows
from jobs.store.db import Database, Tx
from jobs.wallclock import ms

MOST: Final = 100_000  # entries of one call
_ACTS: Final = ("add", "update", "unchanged", "refused")
_OWN: Final = "engine"  # an export of ours: its jobs keep the keys they have
# What a definition from outside can make the judge stumble over beside its own refusals.
_STUMBLES: Final = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One entry as it came."""

    key: str
    where: str
    job: Mapping[str, Any] | None = None  # None: only more history of a job that is there
    state: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What becomes of one entry."""

    wish: _Wish
    act: str  # one of _ACTS
    job: Job | None = None
    current: StoredJob | None = None
    runs: tuple[Run, ...] = ()
    refusal: EngineError | None = None


class Imports:
    """The part of the desk that takes jobs from elsewhere."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        rules: Callable[[datetime], edit.Rules],
        refuse_owned: Callable[[StoredJob], None],
        tell: Callable[[Sequence[tuple[StoredJob, str]]], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._refuse_owned = refuse_owned
        self._tell = tell

    async def bring_in(self, params: Mapping[str, Any], *, by: str) -> dict[str, Any]:
        """`cron.import`: ``{ok, dryRun, counts, results[], remarks[]}``, in one transaction.

        ``params`` are ``{kind, entries[], dryRun?}`` with entries as `Entry.to_json` makes them.
        """
        now = self._clock.now()
        kind = params.get("kind")
        if not isinstance(kind, str) or not kind.isidentifier():
            raise _unlike("kind is required")
        wishes = _wishes(params.get("entries"))
        rules = replace(self._rules(now), past=True)
        # Thousands of expressions take seconds to read: neither the loop nor the writer waits.
        judged = await asyncio.to_thread(lambda: [_judged(wish, kind, rules) for wish in wishes])

        def plan(tx: Tx) -> list[_Step]:
            return self._plan(tx, judged, kind, rules)

        def work(tx: Tx) -> tuple[list[_Step], list[tuple[StoredJob, str]], list[int]]:
            steps = plan(tx)
            told = [done for step in steps if (done := _done(tx, step, now, by)) is not None]
            return steps, told, _history(tx, steps, write=True)

        def look(tx: Tx) -> tuple[list[_Step], list[int]]:
            steps = plan(tx)
            return steps, _history(tx, steps, write=False)

        if params.get("dryRun"):
            steps, fresh = await self._database.read(look)
        else:
            steps, told, fresh = await self._database.write(work)
            self._tell(told)
        results = [_result(step, count, now) for step, count in zip(steps, fresh, strict=True)]
        counts = {act: sum(step.act == act for step in steps) for act in _ACTS}
        return {
            "ok": True,
            "dryRun": bool(params.get("dryRun")),
            "counts": {**counts, "runs": sum(fresh)},
            "results": results,
            "remarks": [one.to_json() for step in steps if (one := _ahead(step, now)) is not None],
        }

    def _plan(self, tx: Tx, judged: Sequence[_Step], kind: str, rules: edit.Rules) -> list[_Step]:
        steps: list[_Step] = []
        taken: set[str] = set()
        for step in judged:
            if step.refusal is None:
                step = _refusing(step.wish, partial(self._placed, tx, step, kind, rules))
            if step.job is not None and step.wish.job is not None:
                names = {step.job.id, step.job.declaration_key} - {None}
                if names & taken:
                    refusal = Conflict(
                        f"{step.wish.key} was not imported",
                        why="it came twice",
                        fix="give one of them another id",
                    )
                    step = _Step(wish=step.wish, act="refused", refusal=refusal)
                taken |= {str(name) for name in names}
            steps.append(step)
        return steps

    def _placed(self, tx: Tx, step: _Step, kind: str, rules: edit.Rules) -> _Step:
        """Return what the entry does to the jobs that are there."""
        wish = step.wish
        current = _known(tx, wish, kind)
        if step.job is None:
            if current is None:
                raise InvalidInput(
                    f"there is no job {wish.key} to add history to",
                    fix="import the job itself first",
                )
            runs = _runs(wish, current.job, kind, rules.now)
            return replace(step, act="unchanged", job=current.job, runs=runs)
        if current is None:
            _free(tx, step.job)
            return step
        self._refuse_owned(current)
        if current.job.id != step.job.id:
            step = _made(wish, kind, rules, job_id=current.job.id)
        if step.job is None:
            raise AssertionError("an entry that was judged before is a job")
        job = writing.converged(current.job, step.job, wish.job or {})
        act = "unchanged" if revision(job) == current.revision else "update"
        return replace(step, act=act, job=job, current=current)


# -- judging, without the store ------------------------------------------------------------------


def _judged(wish: _Wish, kind: str, rules: edit.Rules) -> _Step:
    if wish.job is None:
        return _Step(wish=wish, act="unchanged")
    return _refusing(wish, lambda: _made(wish, kind, rules))


def _refusing(wish: _Wish, make: Callable[[], _Step]) -> _Step:
    """Return the step, or the refusal of it: one bad entry holds up no other."""
    try:
        return make()
    except EngineError as error:
        refusal = error
    except _STUMBLES as error:
        refusal = InvalidJob(
            f"{wish.key} cannot be read",
            why=repr(error)[:200],
            fix="correct it where it comes from",
        )
    return _Step(wish=wish, act="refused", refusal=refusal)


def _made(wish: _Wish, kind: str, rules: edit.Rules, *, job_id: str | None = None) -> _Step:
    given = wish.job or {}
    params = {key: value for key, value in given.items() if key != "declarationKey"}
    key = given.get("declarationKey") if kind == _OWN else wish.key
    if key is not None:
        params["declarationKey"] = key
    if job_id is not None:
        params["id"] = job_id
    job = edit.create(params, rules, source=_source(wish, kind))
    job = _dated(job, given, rules.now)
    return _Step(wish=wish, act="add", job=job, runs=_runs(wish, job, kind, rules.now))


# -- one entry -----------------------------------------------------------------------------------


def _wishes(entries: Any) -> list[_Wish]:
    if not isinstance(entries, list | tuple):
        raise _unlike("entries must be a list")
    if len(entries) > MOST:
        raise InvalidInput(
            "the import was refused",
            why=f"{len(entries)} entries in one call; {MOST} at most",
            fix="import it in several files",
        )
    return [_wish(entry, number) for number, entry in enumerate(entries)]


def _unlike(why: str) -> InvalidInput:
    return InvalidInput(
        f"invalid cron.import params: {why}", fix="let `engine cron import` make them"
    )


def _wish(entry: Any, number: int) -> _Wish:
    what = f"entries[{number}]"
    if not isinstance(entry, Mapping) or not isinstance(entry.get("key"), str):
        raise _unlike(f"{what} must be an object with a key")
    job, state, runs = entry.get("job"), entry.get("state"), entry.get("runs")
    if job is not None and not isinstance(job, Mapping):
        raise _unlike(f"{what}.job must be an object")
    return _Wish(
        key=entry["key"],
        where=str(entry.get("where") or entry["key"]),
        job=job,
        state=state if isinstance(state, Mapping) else {},
        runs=tuple(run for run in runs if isinstance(run, Mapping))
        if isinstance(runs, list | tuple)
        else (),
    )


def _known(tx: Tx, wish: _Wish, kind: str) -> StoredJob | None:
    """Return the job an earlier import made of this entry."""
    if kind == _OWN:
        ident = None if wish.job is None else wish.job.get("id")
        return job_rows.get(tx, ident) if isinstance(ident, str) else None
    if not wish.key.startswith(f"import:{kind}:"):
        raise InvalidInput(
            f"the key {wish.key!r} was refused",
            why=f"it is not one of this source's: they begin import:{kind}:",
            fix="say with --from what the source is",
        )
    return writing.declared_as(tx, wish.key)


def _source(wish: _Wish, kind: str) -> Source:
    runtime = wish.job is not None and wish.job.get("source") == Source.RUNTIME
    return Source.RUNTIME if kind == _OWN and runtime else Source.IMPORT


def _dated(job: Job, wish: Mapping[str, Any], now: datetime) -> Job:
    """Keep when the job was made; an import is no birth, and nothing is made in days to come."""
    created = past.instant(wish.get("createdAtMs")) or job.created_at or now
    updated = past.instant(wish.get("updatedAtMs")) or created
    return replace(job, created_at=min(created, now), updated_at=min(updated, now))


def _free(tx: Tx, job: Job) -> None:
    """Refuse an id or key that another job has."""
    other = job_rows.get(tx, job.id) or writing.declared_as(tx, job.declaration_key)
    if other is not None:
        raise Conflict(
            f"job {job.id} was not imported",
            why=f"another job has that id or key: {other.job.name} ({other.job.source})",
            fix=f"engine cron rm {other.job.id}, or give the one to be imported another id",
        )


def _runs(wish: _Wish, job: Job, kind: str, now: datetime) -> tuple[Run, ...]:
    rows = (
        past.run_of(
            entry,
            job_id=job.id,
            job_name=job.name,
            agent_id=job.agent_id,
            source=kind,
            now=now,
        )
        for entry in wish.runs
    )
    return tuple(row for row in rows if row is not None)


# -- writing -------------------------------------------------------------------------------------


def _done(tx: Tx, step: _Step, now: datetime, by: str) -> tuple[StoredJob, str] | None:
    if step.job is None or step.act in ("refused", "unchanged"):
        return None
    if step.current is not None:
        stored, action = writing.changed(tx, step.current, step.job, now=now, by=by)
        return None if action is None else (stored, action)
    stored = job_rows.insert(tx, step.job, next_run_at=first_run(step.job, now), now=now)
    columns = past.columns(step.wish.state, now)
    if columns:
        job_rows.set_state(tx, step.job.id, **columns)
        stored = job_rows.find(tx, step.job.id)
    writing.note(tx, now, by, "cron.import", stored, key=step.wish.key)
    return writing.planned(tx, stored, now), "added"


def _history(tx: Tx, steps: Sequence[_Step], *, write: bool) -> list[int]:
    """Write all rows in the order of time; return how many of each entry are new."""
    new = imported.missing(tx, [run for step in steps for run in step.runs])
    if write:
        imported.insert(tx, new)
    ids = {run.id for run in new}
    return [len(ids & {run.id for run in step.runs}) for step in steps]


def _ahead(step: _Step, now: datetime) -> Remark | None:
    """Say that an entry tells of runs to come: they are left out until they can have been."""
    ahead = 0 if step.act == "refused" else sum(past.is_ahead(run, now) for run in step.wish.runs)
    if not ahead:
        return None
    return Remark(
        weight=Weight.LEFT_OUT,
        where=step.wish.where,
        why=f"{ahead} of its runs lie in the future",
        fix="look at the clock of both machines, and import again when they have passed",
    )


def _result(step: _Step, runs: int, now: datetime) -> dict[str, Any]:
    told: dict[str, Any] = {"key": step.wish.key, "where": step.wish.where, "act": step.act}
    if step.refusal is not None:
        error = step.refusal
        told["why"] = f"{error.what}: {error.why}" if error.why else error.what
        return told | ({"fix": error.fix} if error.fix else {})
    if step.job is not None:
        told |= {"id": step.job.id, "name": step.job.name, "enabled": step.job.enabled}
        coming = first_run(step.job, now)
        if coming is not None:
            told["nextRunAtMs"] = ms(coming)
    return told | ({"runs": runs} if runs else {})
