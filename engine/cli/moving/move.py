"""The whole of a move: read, translate, build, put in place; or only the first three.

A dry run does everything but the last step, in a folder of its own: its plan is what happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.moving import config, people, routes, source, stage, workspaces
from engine.cli.place import Place
from engine.clock import SystemClock
from engine.config.edit import set_text
from engine.config.env_file import variables_of, with_variables
from engine.config.json5 import Node, parse
from engine.config.keypath import join
from engine.config.writing import put
from jobs.errors import Conflict
from jobs.importing.report import Notes, Weight

if TYPE_CHECKING:
    from datetime import datetime

    from engine.config.load import Loaded
    from jobs.store.db import Database, Tx

_LOST = frozenset({Weight.LEFT_OUT, Weight.HELD})


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """What the person wishes for."""

    merge: bool = False  # what is here stays, what is missing comes
    force: bool = False  # theirs takes the place of what is here
    link: bool = False  # workspaces stay where they are
    dry_run: bool = False


@dataclass(slots=True)
class Told:
    """What became of it."""

    taken: dict[str, Any] = field(default_factory=dict)  # what → how much of it
    notes: Notes = field(default_factory=Notes)
    missing: tuple[str, ...] = ()
    aside: Path | None = None
    changed: bool = False

    @property
    def lost(self) -> bool:
        """Whether something was not brought over that somebody may miss."""
        return any(one.weight in _LOST for one in self.notes.all)


def occupied(at: Place) -> list[str]:
    """Return what of this home would be written over."""
    names = ("engine.json", ".env", "state.db", "workspace")
    paths = [at.paths.config if name == "engine.json" else at.paths.state / name for name in names]
    return [
        path.name for path in paths if path.is_file() or (path.is_dir() and any(path.iterdir()))
    ]


def refuse_occupied(at: Place, how: How) -> None:
    """A home somebody lives in is not written over unasked."""
    there = occupied(at)
    if there and not (how.merge or how.force):
        raise Conflict(
            "nothing was imported",
            why=f"{at.paths.state} has {', '.join(there)} already",
            fix="add --merge to keep what is there, or --force to take the other home's instead",
        )


def move(at: Place, path: Path, how: How, folder: Path) -> Told:
    """Build it in ``folder``, and put it in place unless it is a dry run."""
    now, told = SystemClock().now(), Told()
    there = source.read(path, told.notes)
    staged = stage.Stage(at.paths.state, folder)
    places = workspaces.found(there.text, path, at.paths.os_home)
    made, loaded = _config(at, there, places, how, told)
    same = [_written_config(at, staged, made), _written_env(at, staged, made, how, told)]
    same.append(_files(at, staged, places, how, told))
    same.append(asyncio.run(_store(at, staged, there, loaded, told, now)))
    told.missing = made.missing
    told.changed = not all(same)
    staged.settle()
    if not how.dry_run and told.changed:
        aside = at.paths.state / f"before-import-{now:%Y%m%dT%H%M%SZ}"
        told.aside = aside if staged.commit(aside) else None
    return told


# -- config ------------------------------------------------------------------------------------


def _config(
    at: Place,
    there: source.Source,
    places: tuple[workspaces.Workspace, ...],
    how: How,
    told: Told,
) -> tuple[config.Translated, Loaded]:
    judge = _judge(at)
    if there.included:
        why = "its parts are one file here; comments did not come along"
        told.notes.add(Weight.CHANGED, "$include", why)
    env = config.env_lines(variables_of(there.env), told.notes)
    made = config.translated(
        workspaces.rewritten(there.text, places, link=how.link),
        env=env,
        keys=there.keys,
        home=there.path,
        judge=judge,
        notes=told.notes,
    )
    told.taken["config"] = f"{_leaves(parse(made.text).root.plain())} keys"
    if at.paths.config.exists() and not how.force:
        ours = at.paths.config.read_text("utf-8")
        made = replace(made, text=_filled(ours, made.text, told.notes))
    lines = {**made.env, **dict.fromkeys(made.missing, config.STAND_IN)}
    return made, judge(made.text, lines)


def _judge(at: Place) -> config.Judge:
    from engine.config.load import load

    def judge(text: str, env: Mapping[str, str]) -> Loaded:
        return load(
            at.paths.config,
            {**env, **at.environ},
            state=at.paths.state,
            home=at.paths.os_home,
            raw=text.encode(),
        )

    return judge


def _leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_leaves(one) for one in value.values())
    return 1


def _filled(ours: str, theirs: str, notes: Notes) -> str:
    """Our text with what only theirs says; where both say something, ours stays."""

    missing: list[tuple[str, Any]] = []

    def compare(node: Node | None, value: Any, path: str) -> None:
        if node is None:
            missing.append((path, value))
        elif isinstance(value, dict) and node.kind == "object":
            for key, inner in value.items():
                member = node.member(key)
                compare(None if member is None else member.node, inner, join(path, key))
        elif node.plain() != value:
            notes.add(Weight.NOTE, path, "both homes say something: ours stays")

    compare(parse(ours).root, parse(theirs).root.plain(), "")
    for path, value in missing:
        ours = set_text(ours, path, value)
    return ours


def _written_config(at: Place, staged: stage.Stage, made: config.Translated) -> bool:
    there = at.paths.config.read_text("utf-8") if at.paths.config.exists() else None
    if there == made.text:
        return True
    if at.paths.config.parent != at.paths.state:
        raise Conflict(
            "nothing was imported",
            why=f"ENGINE_CONFIG_PATH leads to {at.paths.config}, outside the home",
            fix="unset it, import, and move engine.json there",
        )
    put(staged.place(at.paths.config.name), made.text.encode())
    return False


def _written_env(
    at: Place, staged: stage.Stage, made: config.Translated, how: How, told: Told
) -> bool:
    file = at.paths.env_file
    before = file.read_text("utf-8") if file.exists() else ""
    known = variables_of(before)
    fresh = {k: v for k, v in made.env.items() if k not in known or (how.force and known[k] != v)}
    for name in sorted(made.env.keys() & known.keys() - fresh.keys()):
        if known[name] != made.env[name]:
            told.notes.add(Weight.NOTE, f".env {name}", "both homes set it: ours stays")
    if made.env:
        told.taken["variables"] = len(made.env)
    if not fresh:
        return True
    put(staged.place(file.name), with_variables(before, fresh).encode())
    return False


# -- files -------------------------------------------------------------------------------------


def _files(
    at: Place,
    staged: stage.Stage,
    places: tuple[workspaces.Workspace, ...],
    how: How,
    told: Told,
) -> bool:
    same = True
    for one in places:
        if not one.path.is_dir():
            continue
        if how.link or not one.inside:
            told.taken[one.name] = f"stays at {one.path}"
            if not how.link:
                why = "it lies outside that home: both engines would work in it"
                told.notes.add(Weight.CHANGED, one.key, why)
            continue
        target = staged.place(one.name)
        ours = at.paths.state / one.name
        if ours.is_dir():
            stage.overlay(ours, target, Notes(), theirs_win=False)
        done = stage.overlay(one.path, target, told.notes, theirs_win=how.force)
        told.taken[one.name] = f"{done.files + done.same} files"
        if not done.files:
            staged.names.remove(one.name)
        same = same and not done.files
    return same


# -- store -------------------------------------------------------------------------------------


async def _store(
    at: Place,
    staged: stage.Stage,
    there: source.Source,
    loaded: Loaded,
    told: Told,
    now: datetime,
) -> bool:
    """Jobs and their past, routes, people, devices; one store, put in place with the rest."""
    from jobs.store.db import Database

    if loaded.config.store.url is not None:
        raise Conflict(
            "nothing was imported",
            why="store.url names a server, and an import is put in place as files",
            fix="import without store.url, then: engine cron export",
        )
    database = await Database.open(staged.database())
    try:
        changed = await _jobs(at, there, loaded, database, told)
        changed += await database.write(lambda tx: _rows(tx, there, told, now))
    finally:
        await database.close()
    if not changed:
        staged.names.remove("state.db")
    return not changed


async def _jobs(
    at: Place, there: source.Source, loaded: Loaded, database: Database, told: Told
) -> int:
    from engine.cli import home_desk, sources

    if there.jobs is None:
        return 0
    report = sources.read(
        "openclaw",
        sources.Source(path=str(there.jobs), now=SystemClock().now(), zone=at.zone),
    )
    entries = [entry.to_json() for entry in report.entries]
    answer = await home_desk.brought(
        at, loaded, database, {"kind": report.kind, "entries": entries}
    )
    for one in (*(one.to_json() for one in report.remarks), *answer["remarks"]):
        weight = Weight(one["weight"])
        told.notes.add(weight, one["where"], one["why"], one.get("fix", ""))
    for one in answer["results"]:
        if one["act"] == "refused":
            told.notes.add(Weight.LEFT_OUT, str(one["where"]), str(one.get("why")))
    counts: dict[str, int] = answer["counts"]
    told.taken["jobs"] = counts["add"] + counts["update"] + counts["unchanged"]
    told.taken["runs"] = sum(len(entry.get("runs", ())) for entry in entries)
    return counts["add"] + counts["update"] + counts["runs"]


def _rows(tx: Tx, there: source.Source, told: Told, now: datetime) -> int:
    from engine.store import sessions
    from gateway.pairing import new_code
    from gateway.store import devices, pairings

    changed = 0
    found = routes.routes(there.sessions, told.notes, now)
    for route in found:
        known = sessions.route(tx, route.session_key)
        if known is None or known.set_at < route.set_at:
            sessions.ensure(tx, route.session_key, route.agent_id, route.set_at)
            sessions.set_route(tx, route)
            changed += 1
    let_in = people.people(there.lists, told.notes)
    for one in let_in:
        here = (one.channel, one.account_id)
        if one.peer in pairings.let_in(tx, *here):
            continue
        code = new_code(lambda word: pairings.taken(tx, word))
        pairings.ask(tx, *here, one.peer, label=None, code=code, now=now)
        asked = pairings.find(tx, one.channel, code, now)
        changed += asked is not None and pairings.approve(tx, asked, now)
    paired = people.devices(there.devices, told.notes, now)
    known_devices = {one.device_id for one in devices.everybody(tx)}
    for device in paired:
        if device.device_id not in known_devices:
            devices.keep(tx, device)
            changed += 1
    told.taken |= {"routes": len(found), "people": len(let_in), "devices": len(paired)}
    return changed
