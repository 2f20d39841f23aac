"""`engine status --all`: a report to paste into a question (operations.md §9.6).

Read-only, and it always ends: each row has two seconds and says so if it took longer. Plain text
of at most a hundred columns; secrets, ids of people, the host and the home are taken out.
"""

from __future__ import annotations

import platform
import re
import socket
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import click

from engine import __version__
from engine.cli.ask import Line
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import PIPED_WIDTH, cells, cut, pad
from engine.cli.status import words
from engine.cli.status.view import look
from engine.clock import SystemClock
from engine.config.paths import host_zone
from engine.log.redaction import Redactor
from jobs.errors import EngineError

if TYPE_CHECKING:
    from engine.cli.doctor.finding import Finding

BUDGET: Final = timedelta(seconds=2)
LAST: Final = "Pasteable debug report. Auth tokens redacted."
_LATE: Final = "timed out"
_EVENTS: Final = 10
_ERRORS: Final = 20
_LOGS: Final = 3  # newest files of a bundle
_PERSON: Final = re.compile(r"(?<![\w.:-])\+?\d{7,}(?![\w.:-])|(?<![\w-])[0-9A-Fa-f]{20,}(?![\w-])")
_INDENT: Final = "  "
# Signs of ours that a chat may spoil; people's own names stay as they are.
_ASCII: Final = str.maketrans({"→": "->", "—": "-", "…": "...", "✓": "ok", "✗": "NO", "·": "-"})

Row = Callable[[Line], Sequence[str]]


@dataclass(slots=True)
class Asked:
    """One row on its way, in a thread of its own that ends with the process."""

    lines: Sequence[str] = ()
    error: str = ""
    thread: Thread | None = None

    def told(self, within: timedelta) -> Sequence[str]:
        """Return what it found, or why it did not."""
        if self.thread is not None:
            self.thread.join(within.total_seconds())
            if self.thread.is_alive():
                return [_LATE]
        return [self.error] if self.error else self.lines


def asked(row: Row, line: Line) -> Asked:
    """Begin to look at a row; whatever goes wrong with it is its answer."""
    found = Asked()

    def work() -> None:
        try:
            found.lines = list(row(line))
        except (EngineError, OSError, ValueError, KeyError, TypeError) as error:
            found.error = f"could not be looked at: {error}"

    found.thread = Thread(target=work, daemon=True)
    found.thread.start()
    return found


def report(line: Line, *, out: Path | None = None, bundle: Path | None = None) -> int:
    """Print it, or write it where that was asked for; 0, as the report was produced."""
    rows = gathered(line)
    hide = hider(line.place)
    if line.as_json:
        told = {name: [hide(one) for one in found] for name, found in rows.items()}
        text = dumped({"schema": 1, "rows": told, "note": LAST})
    else:
        text = "\n".join([*laid_out(rows, hide), LAST])
    if bundle is not None:
        _pack(line.place, bundle, text, hide)
        click.echo(f"wrote {bundle}", err=True)
    if out is not None:
        out.write_text(f"{text}\n", "utf-8")
        click.echo(f"wrote {out}", err=True)
    if out is None and bundle is None:
        click.echo(text)
    return 0


def gathered(
    line: Line, rows: Mapping[str, Row] | None = None, *, budget: timedelta | None = None
) -> dict[str, Sequence[str]]:
    """Look at one row after the other; each has its two seconds, and is left behind after them."""
    most = budget or BUDGET
    short = replace(line, timeout=min(line.timeout, most))
    return {name: asked(row, short).told(most) for name, row in (rows or ROWS).items()}


def laid_out(rows: Mapping[str, Sequence[str]], hide: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines: short rows beside their names, long ones below."""
    room = max(map(cells, rows)) + 2
    for name, found in rows.items():
        told = [hide(one) for one in found] or ["none"]
        if len(told) == 1:
            yield from _wrapped(pad(f"{name}:", room) + told[0], room)
            continue
        yield f"{name}:"
        for one in told:
            yield from _wrapped(_INDENT + one, len(_INDENT) * 2)


def _wrapped(text: str, indent: int) -> Iterator[str]:
    """Yield a line broken between words so that each part fits, the rest indented."""
    while cells(text) > PIPED_WIDTH:
        head = cut(text, PIPED_WIDTH).removesuffix("…")
        at = head.rfind(" ", indent + 1)
        at = at if at > indent else len(head)
        yield text[:at].rstrip()
        text = " " * indent + text[at:].lstrip()
    yield text


def hider(place: Place) -> Callable[[str], str]:
    """Return what takes out of a line whatever tells who and where somebody is."""
    redact = Redactor(_secrets(place))
    home, host = str(place.paths.os_home), socket.gethostname()

    def hide(text: str) -> str:
        text = redact(text)
        text = text.replace(home, "~") if len(home) > 1 else text
        text = re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "~", text) if host else text
        text = _PERSON.sub(lambda found: f"{found[0][:2]}…{found[0][-2:]}", text)
        return text.translate(_ASCII)

    return hide


def _secrets(place: Place) -> list[str]:
    from engine.cli import at_rest
    from engine.config import fast

    found = [fast.credential(place.paths, place.values, place.variables, k)[0] for k in _KINDS]
    try:
        found += at_rest.loaded(place).secrets
    except EngineError:  # what cannot be read cannot be shown either
        found += [one for one in _texts(place.values) if len(one) >= _LONG]
    return [one for one in found if one]


_KINDS: Final = ("token", "password")
_LONG: Final = 12


def _texts(value: Any) -> Iterator[str]:
    """Yield every long text of a config nobody could judge: any of them may be a secret."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


# -- rows ----------------------------------------------------------------------------------------


def _version(_line: Line) -> Sequence[str]:
    return [f"engine {__version__}"]


def _system(_line: Line) -> Sequence[str]:
    return [f"{platform.system()} {platform.release()} {platform.machine()}"]


def _python(_line: Line) -> Sequence[str]:
    return [f"{platform.python_version()} ({sys.executable})"]


def _glance(line: Line) -> Sequence[str]:
    """What `engine status` says, without its colours."""
    return words.told(look(line), line).split("\n")


def _gateway(line: Line) -> Sequence[str]:
    """What `gateway status` says: service, port, auth, last exit, scheduler."""
    from engine.cli.gateway.report import look as looked, words as told

    found = looked.report(line, probe=True, deep=False)
    return told.told(found, line.place, SystemClock().now()).split("\n")


def _sentinel(line: Line) -> Sequence[str]:
    from gateway import sentinel

    found = sentinel.read(line.place.paths.state)
    return ["none" if found is None else f"pending since {found.at:%Y-%m-%d %H:%M:%S} UTC"]


def _clock(line: Line) -> Sequence[str]:
    now = SystemClock().now()
    return [f"{now:%Y-%m-%d %H:%M:%S} UTC, host zone {host_zone(line.place.environ)}"]


def _zones(line: Line) -> Sequence[str]:
    """The zone of each schedule that has one of its own."""
    from engine.cli import at_rest

    with at_rest.reading(replace(line, as_json=True)) as found:
        jobs = found.call("cron.list", {"includeDisabled": True, "limit": 200}).get("jobs") or ()
    told = [(str(job.get("name") or job["id"]), (job.get("schedule") or {})) for job in jobs]
    return [f"{name}: {one.get('tz') or line.place.job_zone}" for name, one in told]


def _beats(line: Line) -> Sequence[str]:
    """The last beats of all agents, with what held them back."""
    from engine.cli import at_rest

    with at_rest.reading(replace(line, as_json=True)) as found:
        entries = found.call("heartbeat.history", {"limit": _EVENTS}).get("entries") or ()
    return [_event(one) for one in entries]


def _runs(line: Line) -> Sequence[str]:
    """The last runs of jobs, with what held them back."""
    from engine.cli import at_rest

    with at_rest.reading(replace(line, as_json=True)) as found:
        entries = found.call("cron.runs", {"scope": "all", "limit": _EVENTS}).get("entries") or ()
    return [_event(one) for one in entries]


def _event(one: Mapping[str, Any]) -> str:
    at_ms = one.get("ts") or one.get("runAtMs") or 0
    when = datetime.fromtimestamp(int(at_ms) / 1000, UTC)
    who = one.get("jobName") or one.get("jobId") or one.get("agentId")
    why = one.get("skipReason") or one.get("reason") or one.get("error") or ""
    return f"{when:%m-%d %H:%M:%S} {who} {one.get('status')} {why}".rstrip()


def _errors(line: Line) -> Sequence[str]:
    """The last errors of the log."""
    from engine.cli.logs.source import place_of
    from engine.log.reading import Sieve, record, sifted, tail

    found = tail(place_of(line), None, limit=5_000, most=1_000_000)["lines"]
    loud = sifted(found, Sieve(level="error"), _ERRORS)
    said = [record(one) for one in loud]
    return [f"{one.get('ts')} {one.get('subsystem')}: {one.get('msg')}" for one in said if one]


def _findings(line: Line) -> Sequence[str]:
    from engine.cli.doctor.command import diagnosed

    found: list[Finding] = diagnosed(line)
    return [f"{one.severity} {one.id}: {one.what}" for one in found]


def _secret_words(line: Line) -> Sequence[str]:
    """How many secrets the config has, and whether each is there; never what one is."""
    from engine.cli import at_rest

    loaded = at_rest.loaded(line.place)
    notes = [one for one in loaded.notes if one.code.startswith("SECRETS_")]
    return [f"{len(loaded.secrets)} resolved, {len(notes)} notes"]


ROWS: Final[Mapping[str, Row]] = {
    "Version": _version,
    "OS": _system,
    "Python": _python,
    "Clock": _clock,
    "Status": _glance,
    "Gateway": _gateway,
    "Restart sentinel": _sentinel,
    "Zones of schedules": _zones,
    "Last beats": _beats,
    "Last runs": _runs,
    "Last errors": _errors,
    "Doctor": _findings,
    "Secrets": _secret_words,
}


# -- a bundle ------------------------------------------------------------------------------------


def _pack(place: Place, bundle: Path, text: str, hide: Callable[[str], str]) -> None:
    """Write the report and the newest logs, each line without secrets."""
    from engine.cli.logs.source import place_of
    from engine.log.files import files

    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("status.txt", f"{text}\n")
        for file in files(place_of(Line(place=place)))[-_LOGS:]:
            lines = file.read_text("utf-8", "replace").splitlines()
            packed.writestr(f"logs/{file.name}", "\n".join(map(hide, lines)))
    bundle.chmod(0o600)
