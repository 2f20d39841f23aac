"""What `engine doctor --fix` does, one repair at a time (operations.md §10).

Files that are replaced keep a copy; secrets are never rotated; services are only touched where
the caller was told so.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, assert_never

from engine.cli.doctor.finding import Act, Finding, Repair
from engine.cli.place import Place, shown
from engine.clock import SystemClock
from engine.config import fast
from jobs.errors import EngineError, OwnershipRefused

_BYTES: Final = 24
# What others stand on comes first: a home before what lies in it, a config before its keys.
_ORDER: Final = (
    Act.SETUP, Act.MIGRATE_CONFIG, Act.RESTORE_CONFIG, Act.CHMOD, Act.SET_KEY, Act.GENERATE_TOKEN,
    Act.WRITE_CHECKLIST, Act.MIGRATE, Act.INTERRUPT_RUNS, Act.INSTALL_SERVICE,
    Act.REWRITE_SERVICE, Act.ENABLE_LINGER, Act.START_SERVICE,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """One repair: what was done, or why it was not."""

    id: str
    what: str
    ok: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {"id": self.id, "what": self.what, "ok": self.ok}


def mend(
    place: Place, findings: Iterable[Finding], *, services: Callable[[Finding], bool]
) -> list[Mended]:
    """Do what can be done, each once; ``services`` is asked before a service is touched."""
    wanted = [(one, one.repair) for one in findings if one.repair is not None]
    wanted.sort(key=lambda pair: _ORDER.index(pair[1].act))
    done: dict[tuple[Act, str], Mended] = {}
    also: list[Mended] = []
    for finding, repair in wanted:
        key = (repair.act, repair.subject)
        if key in done:
            also.append(replace(done[key], id=finding.id))
            continue
        if repair.act.of_service and not services(finding):
            continue
        try:
            words = _done(place, repair)
        except (EngineError, OSError) as error:
            done[key] = Mended(id=finding.id, what=str(error), ok=False)
        else:
            done[key] = Mended(id=finding.id, what=words)
        for known in ("values", "variables"):  # the file may be another by now
            place.__dict__.pop(known, None)
    return [*done.values(), *also]


def _done(place: Place, repair: Repair) -> str:
    match repair.act:
        case Act.SETUP:
            return _set_up(place)
        case Act.CHMOD:
            Path(repair.subject).chmod(int(repair.value))
            return f"chmod {int(repair.value):o} {repair.subject}"
        case Act.MIGRATE_CONFIG | Act.RESTORE_CONFIG:
            return _readable(place, repair)
        case Act.SET_KEY:
            return _set(place, repair.subject, repair.value)
        case Act.GENERATE_TOKEN:
            return generate_token(place)
        case Act.WRITE_CHECKLIST:
            return _checklist(Path(repair.subject))
        case Act.MIGRATE:
            return _migrated(place)
        case Act.INTERRUPT_RUNS:
            return _interrupted(place)
        case Act.INSTALL_SERVICE | Act.REWRITE_SERVICE | Act.ENABLE_LINGER | Act.START_SERVICE:
            return _service(place, repair.act)
        case _:
            assert_never(repair.act)


# -- files ---------------------------------------------------------------------------------------


def _set_up(place: Place) -> str:
    from engine.cli.setup import CHECKLIST
    from engine.config.setup import minimal_config_text
    from engine.config.writing import put

    made = []
    for folder in (place.paths.state, place.paths.logs):
        if not folder.is_dir():
            folder.mkdir(mode=0o700, parents=True)
            made.append(f"{shown(folder, place.paths)}/")
    if not place.paths.config.exists():
        put(place.paths.config, minimal_config_text().encode())
        made.append(shown(place.paths.config, place.paths))
    file = place.paths.workspace("main", own=None, shared=None, default=True) / "HEARTBEAT.md"
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(file, CHECKLIST.encode())
        made.append(shown(file, place.paths))
    if not _credential(place):
        made.append(generate_token(place))
    return f"made {', '.join(made) or 'nothing: all of it was there'}"


def _readable(place: Place, repair: Repair) -> str:
    """Make a config that cannot be used one that can."""
    if repair.act is Act.MIGRATE_CONFIG:
        return _moved_keys(place)
    return _restore(place, Path(repair.subject))


def _moved_keys(place: Place) -> str:
    """Write older keys where they stand now; the file before is `.bak` (operations.md §2.6)."""
    from engine import __version__
    from engine.cli.config.file import check
    from engine.config.keeping import legacy
    from engine.config.writing import write

    config = place.paths.config
    moved: list[legacy.Moved] = []

    def edit(text: str) -> str:
        new, found = legacy.migrated(text)
        moved.extend(found)
        return new

    write(
        config,
        edit,
        validate=lambda raw: check(place, {config: raw}),
        now=SystemClock().now(),
        version=__version__,
        replace=True,
    )
    told = [f"{one.old} -> {one.to or 'dropped, it stood there already'}" for one in moved]
    return f"moved {', '.join(told)} (the file before: {config.name}.bak)"


def _restore(place: Place, copy: Path) -> str:
    """Put a copy that loads in the place of the file; the broken one is kept beside it."""
    from engine.config.keeping import copies
    from engine.config.writing import put

    config = place.paths.config
    aside = copies.stamped(config, copies.CLOBBERED, SystemClock().now())
    put(aside, config.read_bytes())
    put(config, copy.read_bytes())
    copies.forget_oldest(config)
    return f"put {copy.name} in the place of {config.name}; the broken one is {aside.name}"


def _set(place: Place, path: str, value: Any) -> str:
    from engine.cli.config.changing import change

    change(place, path, value)
    return f"set {path} to {value!r} (the file before: {place.paths.config.name}.bak)"


def _credential(place: Place) -> bool:
    known = ("token", "password")
    return any(
        fast.credential(place.paths, fast.read(place.paths.config), place.environ, kind)[0]
        for kind in known
    )


def generate_token(place: Place) -> str:
    """Write a token where there is none; one that is kept elsewhere is not touched."""
    from engine.config.writing import put

    given = fast.get(place.values, "gateway.auth.token")
    if isinstance(given, Mapping) or (isinstance(given, str) and "${" in given):
        raise OwnershipRefused(
            "no token was written",
            why="gateway.auth.token refers to a secret kept elsewhere",
            fix="put the secret there; the gateway reads it at its next start",
        )
    for kind in ("token", "password"):
        found, source = fast.credential(place.paths, place.values, place.variables, kind)
        if found:
            return f"there is a {kind} already (from {source}); nothing was changed"
    if fast.get(place.values, "gateway.auth.mode") == "none":
        _set(place, "gateway.auth.mode", "token")
    place.paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(place.paths.token_file, f"{secrets.token_hex(_BYTES)}\n".encode())
    return f"wrote a token to {shown(place.paths.token_file, place.paths)}"


def _checklist(file: Path) -> str:
    from engine.cli.setup import CHECKLIST
    from engine.config.writing import put

    if file.exists():
        return f"{file} is there by now"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    put(file, CHECKLIST.encode())
    return f"wrote {file}; it has nothing to look at yet"


# -- the database --------------------------------------------------------------------------------


def _migrated(place: Place) -> str:
    """Bring the database up to this engine's schema; the store keeps a copy of the old one."""
    import asyncio

    from jobs.store.db import Database

    async def work() -> None:
        await (await Database.open(place.paths.database)).close()

    _refuse_held(place)
    asyncio.run(work())
    return (
        f"migrated {shown(place.paths.database, place.paths)}; a copy of the old one is beside it"
    )


def _interrupted(place: Place) -> str:
    """Mark runs of a process that is gone, as the next start of the gateway would."""
    import asyncio

    from engine.upkeep.recovery import settled
    from jobs.store.db import Database

    async def work() -> int:
        database = await Database.open(place.paths.database)
        try:
            now = SystemClock().now()
            ended, _ = await database.write(lambda tx: settled(tx, "doctor", now))
            return len(ended)
        finally:
            await database.close()

    _refuse_held(place)
    return f"marked {asyncio.run(work())} runs as interrupted"


def _refuse_held(place: Place) -> None:
    if place.owner is not None:
        raise OwnershipRefused(
            "the database was not touched",
            why=f"a gateway uses it (pid {place.owner.pid})",
            fix=f"{place.program} gateway stop",
        )


# -- services ------------------------------------------------------------------------------------


def _service(place: Place, act: Act) -> str:
    import click

    from engine.cli.gateway import service as verbs

    if act is Act.ENABLE_LINGER:
        from gateway.service.host import linger, user_of

        by_hand = linger(user_of(place.environ), place.environ)
        if by_hand is not None:
            raise OwnershipRefused("lingering was refused", fix=by_hand)
        return "services of this user outlive the log-out now"
    command, words = {
        Act.INSTALL_SERVICE: (verbs.install, []),
        Act.REWRITE_SERVICE: (verbs.install, ["--force"]),
    }.get(act, (verbs.start, []))
    with click.Context(command, obj=place):
        command.main(args=words, standalone_mode=False, obj=place)
    return f"did: {place.program} gateway {command.name} {' '.join(words)}".rstrip()
