"""Files of other schedulers, found and read for the readers of `jobs.importing`. Never written."""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from engine.cli.progress import Progress
from engine.messages.target import PREFIXES, SERVED
from jobs.errors import UnreadableSource, UsageError
from jobs.importing import crontab, documents, nanobot, openclaw, own, systemd, units
from jobs.importing.report import Entry, Notes, Report, Weight, unique

LARGEST: Final = 64 * 1024 * 1024  # bytes of one file
KINDS: Final = (crontab.KIND, systemd.KIND, openclaw.KIND, nanobot.KIND, own.KIND)
_IN_CRON_D: Final = re.compile(r"[A-Za-z0-9_-]+")  # other names cron does not read
_CHANNELS: Final = {word: name for word, name in PREFIXES.items() if name in SERVED}
_UNIT: Final = re.compile(r"^\s*Unit\s*=\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where from, and how it is meant."""

    path: str  # `-`: standard input
    now: datetime
    zone: str  # the host's
    user_column: bool | None = None

    @property
    def file(self) -> Path:
        """The path, home directory and all."""
        return Path(self.path).expanduser()


def read(kind: str | None, source: Source) -> Report:
    """Return what a source says; without a kind only our own export is recognised.

    Raises `UnreadableSource` or `UsageError`; the source is left as it is.
    """
    try:
        return _read(kind, source)
    except OSError as error:
        where = error.filename or source.path
        raise UnreadableSource(
            f"{where} cannot be read", why=error.strerror or str(error), fix=f"ls -ld {where}"
        ) from error


def _read(kind: str | None, source: Source) -> Report:
    if source.path != "-" and not source.file.exists():
        raise UsageError(
            f"{source.path} is not there", fix="name a file or directory, or - for standard input"
        )
    readers: dict[str, Callable[[Source], Report]] = {
        crontab.KIND: _crontab,
        systemd.KIND: _systemd,
        openclaw.KIND: _openclaw,
        nanobot.KIND: _nanobot,
        own.KIND: _own,
    }
    if kind is not None:
        return readers[kind](source)
    try:
        return _own(source)
    except UnreadableSource as error:
        units_there = source.path.endswith((".timer", ".service")) or _has_timers(source)
        likely = systemd.KIND if units_there else crontab.KIND
        likely = openclaw.KIND if source.path.endswith((".json", ".sqlite")) else likely
        raise UsageError(
            f"what {source.path} is was not said",
            why=f"it is no export of this engine; --from takes {', '.join(KINDS)}",
            fix=f"engine cron import {source.path} --from {likely}",
        ) from error


# -- bytes ---------------------------------------------------------------------------------------


def _bytes(source: Source, file: Path | None = None) -> bytes:
    where = file or source.file
    if source.path == "-" and file is None:
        raw = sys.stdin.buffer.read(LARGEST + 1)
    else:
        with where.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise UnreadableSource(
            f"{where} was not imported",
            why=f"it is larger than {LARGEST // 1024 // 1024} MiB",
            fix="import it in parts",
        )
    return raw


def _text(source: Source, file: Path | None = None) -> str:
    """Return the text; what is not UTF-8 is Latin-1 of old, unless it is no text at all."""
    raw = _bytes(source, file)
    if b"\0" in raw:
        raise UnreadableSource(
            f"{file or source.path} was not imported",
            why="it is no text: it has NUL bytes",
            fix="name the file itself; a database is read with --from openclaw",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _json(source: Source, file: Path | None = None) -> Any:
    """Return the JSON value; these files may be JSON5 where people edited them."""
    what = str(file or source.path)
    text = _text(source, file)
    try:
        return documents.parsed(text, what)
    except UnreadableSource as strict:
        if len(text) > 1_000_000 or not text.strip():
            raise
        from engine.config import json5

        try:
            return json5.parse(text, what).root.plain()
        except (json5.Json5Error, RecursionError):
            raise strict from None


def _beside(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


# -- crontab -------------------------------------------------------------------------------------


def _crontab(source: Source) -> Report:
    if source.path == "-" or not source.file.is_dir():
        return crontab.read(
            _text(source), _how(source, None if source.path == "-" else source.file)
        )
    notes, reports = Notes(), []
    for file in _files(source.file):
        if not _IN_CRON_D.fullmatch(file.name):
            notes.add(Weight.NOTE, file.name, "cron does not read files of such a name: left out")
            continue
        reports.append((file.name, crontab.read(_text(source, file), _how(source, file))))
    return _together(crontab.KIND, reports, notes)


def _how(source: Source, file: Path | None) -> crontab.Reading:
    column = source.user_column
    if column is None and file is not None:
        there = file.resolve()
        system = there == Path("/etc/crontab") or there.parent == Path("/etc/cron.d")
        column = True if system or source.file.is_dir() else None
    return crontab.Reading(
        zone=source.zone,
        name=file.name if file is not None and column else "",
        home=str(Path.home()),
        user=next((one.pw_name for one in pwd.getpwall() if one.pw_uid == os.getuid()), ""),
        user_column=column,
        users=frozenset(one.pw_name for one in pwd.getpwall()),
    )


def _together(kind: str, reports: list[tuple[str, Report]], notes: Notes) -> Report:
    entries: list[Entry] = []
    for name, report in reports:
        entries += report.entries
        for one in report.remarks:
            notes.add(one.weight, f"{name} {one.where}", one.why, one.fix, one.text)
    return Report(kind=kind, entries=unique(entries, notes), remarks=notes.all)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file())


def _has_timers(source: Source) -> bool:
    return source.path != "-" and any(source.file.glob("*.timer"))


# -- systemd -------------------------------------------------------------------------------------


def _systemd(source: Source) -> Report:
    home = str(Path.home())
    if source.path == "-" or not (source.file.is_dir() or source.file.suffix == ".timer"):
        return systemd.read(units.apart(_text(source)), zone=source.zone, home=home)
    folder = source.file if source.file.is_dir() else source.file.parent
    found = {}
    timers = [source.file] if source.file.is_file() else sorted(folder.glob("*.timer"))
    for timer in timers:
        found[timer.name] = _unit(source, timer)
        for name in _services(timer.stem, "\n".join(found[timer.name])):
            if name not in found and (folder / name).is_file():
                found[name] = _unit(source, folder / name)
    return systemd.read(found, zone=source.zone, home=home)


def _services(stem: str, text: str) -> Iterator[str]:
    for name in (f"{stem}.service", *_UNIT.findall(text)):
        if "/" in name or not name.endswith(".service"):
            continue
        yield name
        prefix, at, _ = name.partition("@")
        if at:
            yield f"{prefix}@.service"


def _unit(source: Source, file: Path) -> list[str]:
    """Return a unit's text and those of its drop-ins."""
    more = file.with_name(f"{file.name}.d")
    drop_ins = sorted(more.glob("*.conf")) if more.is_dir() else []
    return [_text(source, one) for one in (file, *drop_ins)]


# -- stores of other engines ---------------------------------------------------------------------


def _openclaw(source: Source) -> Report:
    how = openclaw.Reading(now=source.now, channels=_CHANNELS)
    if source.path == "-":
        return openclaw.read(_json(source), how, what="standard input")
    file = _first(source.file, ("state/openclaw.sqlite", "cron/jobs.json", "jobs.json"))
    from engine.cli import openclaw_db

    with file.open("rb") as opened:
        is_database = opened.read(len(openclaw_db.MAGIC)) == openclaw_db.MAGIC
    if is_database:
        rows = openclaw_db.read(file)
        return openclaw.from_rows(rows.jobs, how, logged=rows.logged, finished=rows.finished)
    beside = file.with_name(f"{file.name.removesuffix('.json')}-state.json")
    states = _json(source, beside) if beside.is_file() else None
    return openclaw.read(
        _json(source, file), how, states=states, logs=_logs(source, file), what=str(file)
    )


def _logs(source: Source, file: Path) -> dict[str, str]:
    folder = file.parent / "runs"
    logs = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
    found = {}
    with Progress("reading run logs", total=len(logs)) as progress:
        for log in logs:
            found[f"runs/{log.name}"] = _text(source, log)
            progress.advance()
    return found


def _nanobot(source: Source) -> Report:
    if source.path == "-":
        store, actions, what = _json(source), "", "standard input"
    else:
        file = _first(source.file, ("cron/jobs.json", "jobs.json"))
        store, what = _json(source, file), str(file)
        actions = _beside(file.with_name("action.jsonl"))
    return nanobot.read(
        store, now=source.now, zone=source.zone, channels=_CHANNELS, actions=actions, what=what
    )


def _own(source: Source) -> Report:
    if source.path != "-" and source.file.is_dir():
        raise UnreadableSource(
            f"{source.path} cannot be read", why="it is a directory", fix="name the export itself"
        )
    return own.read(_json(source), what=source.path)


def _first(path: Path, names: tuple[str, ...]) -> Path:
    """Return the file itself, or the first of these a directory has."""
    if not path.is_dir():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    raise UnreadableSource(
        f"{path} was not imported",
        why=f"it has none of {', '.join(names)}",
        fix="name the file itself",
    )
