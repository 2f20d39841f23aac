"""`engine gateway install` and its kin: a service of this host (operations.md §8)."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from engine import __version__
from engine.cli.app import here
from engine.cli.ask import Line
from engine.cli.ending import dumped
from engine.cli.place import Place, shown
from engine.cli.service import Service, find
from engine.clock import SystemClock
from gateway import exits
from gateway.lock import Owner
from jobs.errors import ConfigInvalid, EngineError, GatewayDown, TimedOut, UsageError
from jobs.wallclock import zone

if TYPE_CHECKING:
    from gateway.service.host import Systemd
    from gateway.service.unit import Unit

READY_WITHIN: Final = timedelta(seconds=20)
_LOOK: Final = 0.1  # seconds between two looks
_SYSTEM_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")


# -- install ---------------------------------------------------------------------------------


@click.command(epilog="Example: engine gateway install")
@click.option("--port", type=click.IntRange(1, 65535), help="Port, if not that of the config.")
@click.option("--system", is_flag=True, help="A service of the machine, not of this user.")
@click.option("--force", is_flag=True, help="Write it anew if it is there.")
@click.option("--wrapper", type=click.Path(path_type=Path), help="Start this, not the interpreter.")
@click.option("--print", "only_print", is_flag=True, help="Show the file, write nothing.")
@click.option("--no-start", is_flag=True, help="Write and enable it, start nothing.")
@click.option("--no-linger", is_flag=True, help="Leave lingering as it is.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def install(
    ctx: click.Context,
    /,
    port: int | None,
    system: bool,
    force: bool,
    wrapper: Path | None,
    only_print: bool,
    no_start: bool,
    no_linger: bool,
    as_json: bool,
) -> int:
    """Make the gateway a service: it starts with the machine, and again whenever it ends."""
    from gateway.service import files
    from gateway.service.host import Systemd
    from gateway.service.unit import drift

    place = here(ctx)
    if sys.platform == "darwin":
        return _install_agent(place, port=port, wrapper=wrapper, only_print=only_print)
    manager = Systemd(environ=place.environ, system=system)
    unit = _unit(place, manager, port=port, wrapper=wrapper)
    service = Service(place=place, manager=manager, name=unit.name)
    if only_print:
        click.echo(unit.text(), nl=False)
        return 0
    _refuse(service)
    there = files.read(service.file)
    if there is not None and not force:
        differs = drift(there, unit.text())
        said = {"installed": True, "changed": False, "file": str(service.file), "drift": differs}
        click.echo(dumped(said) if as_json else _there(service, differs))
        return 0
    files.write(service.file, unit.text())
    manager.tell("daemon-reload")
    manager.tell("enable", unit.name)
    if not as_json:
        click.echo(f"wrote   {shown(service.file, place.paths)}")
    lingering = None if system or no_linger else _lingering(place)
    if not no_start:
        manager.tell("restart", unit.name)
        _await_ready(place)
    told = {"installed": True, "changed": True, "file": str(service.file), "drift": []}
    if as_json:
        click.echo(dumped({**told, "started": not no_start, "linger": lingering is None}))
        return 0
    click.echo(
        f"enabled {unit.name} ({manager.kind})" if no_start else f"started {unit.name}, it is ready"
    )
    if lingering is not None:
        click.echo(f"Survives logout: NO, run: {lingering}", err=True)
    return 0


@click.command(epilog="Example: engine gateway uninstall")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def uninstall(ctx: click.Context, /, as_json: bool) -> None:
    """Stop the service and remove its unit; the home stays as it is."""
    service = _installed(here(ctx))
    service.manager.tell("disable", "--now", service.name)
    service.file.unlink()
    service.manager.tell("daemon-reload")
    _said(as_json, {"installed": False, "file": str(service.file)}, f"removed {service.file}")


def _unit(place: Place, manager: Systemd, *, port: int | None, wrapper: Path | None) -> Unit:
    from gateway.service import unit
    from gateway.service.files import refuse_passing
    from gateway.service.host import user_of

    paths = place.paths
    executable = Path(sys.executable).absolute() if wrapper is None else wrapper.absolute()
    if wrapper is None:
        refuse_passing(executable, Path(tempfile.gettempdir()))
    elif not os.access(executable, os.X_OK):
        raise UsageError(
            "no service was written",
            why=f"{executable} cannot be run",
            fix="name an executable file with --wrapper",
        )
    usual = paths.os_home / (
        ".engine" if paths.profile == "default" else f".engine-{paths.profile}"
    )
    head = (str(executable),) if wrapper is not None else (str(executable), "-m", "engine")
    user = user_of(place.environ) if manager.system else None
    return unit.Unit(
        profile=paths.profile,
        version=__version__,
        command=(*head, "gateway", "run", *(("--port", str(port)) if port else ())),
        folder=paths.os_home,
        environment=unit.environment(
            profile=paths.profile,
            version=__version__,
            port=port,
            state=None if paths.state == usual else paths.state,
            config=None if paths.config == paths.state / "engine.json" else paths.config,
            path=[
                paths.os_home / ".local" / "bin",
                executable.parent,
                *(Path(folder) for folder in _SYSTEM_PATH),
            ],
        ),
        user=user,
        systemd=manager.version(),
    )


def _refuse(service: Service) -> None:
    """What would make a service that cannot run, before anything is written."""
    from engine.cli.at_rest import config_fault
    from gateway.service.host import Systemd

    place, manager = service.place, service.manager
    if (why := manager.missing()) is not None:
        raise EngineError(
            "no service was installed",
            why=why,
            fix=f"{place.program} gateway start --detach",
        )
    other = Systemd(environ=place.environ, system=not manager.system)
    beside = other.folder(place.paths.os_home) / service.name
    if beside.exists():
        raise EngineError(
            "no service was installed",
            why=f"{beside} is there: two of them would fight for one home",
            fix=f"{place.program} gateway uninstall",
        )
    if (fault := config_fault(place)) is not None:
        raise fault
    from engine.config import fast

    if fast.get(place.values, "gateway.mode") != "local":
        raise ConfigInvalid(
            "no service was installed",
            why="gateway.mode is not local: the gateway would refuse to start",
            fix=f"{place.program} config set gateway.mode local",
        )


def drifted(place: Place) -> list[str]:
    """Return how the installed unit differs from what `install` would write now, a line each.

    A port that was named at the install stays named.
    """
    from gateway.service import files
    from gateway.service.unit import drift, said_by

    service = find(place)
    text = None if service is None else files.read(service.file)
    if service is None or text is None:
        return []
    command, environ = said_by(text)
    pinned = environ.get("ENGINE_GATEWAY_PORT", "")
    port = int(pinned) if pinned.isdecimal() else None
    wrapper = Path(command[0]) if command and "-m" not in command else None
    if wrapper is not None and not os.access(wrapper, os.X_OK):
        return [f"- ExecStart={wrapper} (it is not there)"]
    wanted = _unit(place, service.manager, port=port, wrapper=wrapper)
    return drift(text, wanted.text())


def _there(service: Service, differs: list[str]) -> str:
    file = shown(service.file, service.place.paths)
    if not differs:
        return f"already installed: {file}"
    again = f"write it anew: {service.place.program} gateway install --force"
    return "\n".join((f"already installed, and it differs: {file}", *differs, again))


def _lingering(place: Place) -> str | None:
    from gateway.service.host import linger, user_of

    return linger(user_of(place.environ), place.environ)


def _install_agent(
    place: Place, *, port: int | None, wrapper: Path | None, only_print: bool
) -> int:
    """launchd: the file is written; it is loaded by the line that is printed."""
    from gateway.service import agent, files
    from gateway.service.host import Systemd

    unit = _unit(place, Systemd(environ=place.environ), port=port, wrapper=wrapper)
    text = agent.text(
        profile=place.paths.profile,
        version=__version__,
        command=unit.command,
        folder=unit.folder,
        logs=place.paths.logs,
        environment=unit.environment,
    )
    if only_print:
        click.echo(text, nl=False)
        return 0
    file = (
        place.paths.os_home / "Library/LaunchAgents" / f"{agent.label(place.paths.profile)}.plist"
    )
    files.write(file, text)
    click.echo(f"wrote   {shown(file, place.paths)}")
    click.echo(f"Next: launchctl bootstrap gui/{os.getuid()} {file}")
    return 0


# -- start, stop, restart --------------------------------------------------------------------


@click.command(epilog="Example: engine gateway start")
@click.option("--detach", is_flag=True, help="Without a service: in the background, until stopped.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def start(ctx: click.Context, /, detach: bool, as_json: bool) -> None:
    """Start the service, and wait until the gateway is ready."""
    place = here(ctx)
    if place.owner is not None:
        pid = place.owner.pid
        _said(as_json, {"running": True, "pid": pid, "changed": False}, f"it runs (pid {pid})")
        return
    service = find(place)
    if service is not None and not detach:
        service.manager.tell("start", service.name)
    elif detach:
        _detached(place)
    else:
        raise _not_installed(place)
    owner = _await_ready(place)
    _said(as_json, {"running": True, "pid": owner, "changed": True}, f"ready (pid {owner})")


@click.command(epilog="Example: engine gateway stop")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def stop(ctx: click.Context, /, as_json: bool) -> None:
    """Stop the gateway: turns end, words leave, then it goes."""
    place = here(ctx)
    service = find(place)
    if service is None and place.owner is None:
        raise _not_installed(place)
    if service is not None and service.manager.runtime(service.name).running:
        service.manager.tell("stop", service.name)
    elif place.owner is not None:
        os.kill(place.owner.pid, signal.SIGTERM)
        _await_end(place)
    ended = exits.read(place.paths.state)
    words = "stopped"
    if ended is not None:
        words = f"stopped: {ended.at_local(zone(place.zone), SystemClock().now())}"
    last = None if ended is None else ended.to_json()
    _said(as_json, {"running": False, "lastExit": last}, words)


@click.command(epilog="Example: engine gateway restart")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def restart(ctx: click.Context, /, as_json: bool) -> None:
    """Begin anew: what runs ends first, clients are told how long it takes."""
    place = here(ctx)
    service, owner = find(place), place.owner
    if service is None and owner is None:
        raise _not_installed(place)
    if owner is not None:
        Line(place=place).call("gateway.restart.request", {"reason": "engine gateway restart"})
        _until(lambda: _boot(place) not in (None, owner.boot_id), "it did not come back")
    elif service is not None:
        service.manager.tell("restart", service.name)
    pid = _await_ready(place)
    _said(as_json, {"running": True, "pid": pid, "changed": True}, f"ready again (pid {pid})")


def _installed(place: Place) -> Service:
    service = find(place)
    if service is None:
        raise _not_installed(place)
    return service


def _not_installed(place: Place) -> EngineError:
    return EngineError(
        "not installed",
        why="no service of this profile is there, and no gateway runs on this home",
        fix=f"{place.program} gateway install",
    )


def _detached(place: Place) -> None:
    """Start it apart from this terminal; what it says before its log is open goes to a file."""
    place.paths.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    profile = () if place.paths.profile == "default" else ("--profile", place.paths.profile)
    said = str(place.paths.logs / "gateway.out")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.posix_spawn(  # nobody waits for it here: it goes on when this command has ended
        sys.executable,
        [sys.executable, "-m", "engine", *profile, "gateway", "run"],
        dict(place.environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, said, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _await_ready(place: Place) -> int:
    """Wait until the gateway of this home answers; raise with the reason if it does not."""
    began = SystemClock().now()

    def ready() -> bool:
        ended = exits.read(place.paths.state)
        if _owner(place) is None and ended is not None and ended.at >= began:
            raise GatewayDown(
                "the gateway did not start", why=ended.sentence, fix=_remedy(ended, place)
            )
        return _owner(place) is not None and _answers(place)

    _until(ready, "it is not ready")
    owner = _owner(place)
    if owner is None:
        raise GatewayDown("the gateway is gone again", fix=f"{place.program} gateway status")
    return owner.pid


def _remedy(ended: exits.LastExit, place: Place) -> str:
    if ended.reason is exits.Reason.CONFIG_INVALID:
        return f"{place.program} config validate"
    return f"{place.program} gateway run"


def _answers(place: Place) -> bool:
    fresh = Place(paths=place.paths, environ=place.environ)  # the lock tells the port by now
    try:
        answer = Line(place=fresh, timeout=timedelta(seconds=2)).call("health", {"probe": True})
    except (GatewayDown, TimedOut):
        return False
    return bool(answer.get("ok", True))


def _await_end(place: Place) -> None:
    _until(lambda: _owner(place) is None, "it did not end")


def _owner(place: Place) -> Owner | None:
    return Place(paths=place.paths, environ=place.environ).owner


def _boot(place: Place) -> str | None:
    owner = _owner(place)
    return None if owner is None else owner.boot_id


def _until(there: Callable[[], bool], else_why: str) -> None:
    """Look now and then until something is so; `TimedOut` with the next step otherwise."""
    clock = SystemClock()
    end = clock.monotonic() + READY_WITHIN + timedelta(seconds=10)
    while not there():
        if clock.monotonic() > end:
            raise TimedOut("gave up waiting", why=else_why, fix="engine gateway status")
        threading.Event().wait(_LOOK)  # there is no loop here that it could block


def _said(as_json: bool, facts: Mapping[str, Any], words: str) -> None:
    click.echo(dumped(dict(facts)) if as_json else words)
