"""`engine gateway install`, `uninstall`: the unit written, compared, removed (operations.md §8)."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from engine import __version__
from engine.cli.app import here
from engine.cli.ending import dumped
from engine.cli.gateway.older import refuse_older
from engine.cli.gateway.service.verbs import not_installed, said
from engine.cli.gateway.service.waiting import await_ready
from engine.cli.place import Place, shown
from engine.cli.service import Manager, Service, find, manager_of, name_of
from jobs.errors import ConfigInvalid, EngineError, OwnershipRefused, UsageError

if TYPE_CHECKING:
    from gateway.service.unit import Unit

_SYSTEM_PATH: Final = ("/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the flags of `install` say."""

    port: int | None = None
    wrapper: Path | None = None
    force: bool = False
    start: bool = True
    linger: bool = True
    watch_config: bool = False
    as_json: bool = False


@click.command(epilog="Example: engine gateway install")
@click.option("--port", type=click.IntRange(1, 65535), help="Port, if not that of the config.")
@click.option("--system", is_flag=True, help="A service of the machine, not of this user.")
@click.option("--force", is_flag=True, help="Write it anew if it is there.")
@click.option("--wrapper", type=click.Path(path_type=Path), help="Start this, not the interpreter.")
@click.option("--watch-config", is_flag=True, help="Start again when the config is edited.")
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
    watch_config: bool,
    only_print: bool,
    no_start: bool,
    no_linger: bool,
    as_json: bool,
) -> int:
    """Make the gateway a service: it starts with the machine, and again whenever it ends."""
    place = here(ctx)
    manager = manager_of(place, system=system)
    wish = Wish(
        port=port,
        wrapper=wrapper,
        force=force,
        start=not no_start,
        linger=not no_linger,
        watch_config=watch_config,
        as_json=as_json,
    )
    service = Service(place=place, manager=manager, name=name_of(place, manager))
    if only_print:
        click.echo(_text(place, manager, wish), nl=False)
        return 0
    if system and os.geteuid() != 0:
        raise OwnershipRefused(
            "no service was installed",
            why="a service of the machine is written by root",
            fix=f"sudo {place.program} gateway install --system",
        )
    done = _installed(service, _text(place, manager, wish), wish)
    if done and wish.start and not as_json:
        _status(ctx, place)
    return 0


def _status(ctx: click.Context, place: Place) -> None:
    """How it stands now, as `engine gateway status` says it; the lock tells its port by now."""
    top = ctx.find_root().command
    gateway = top.get_command(ctx, "gateway") if isinstance(top, click.Group) else None
    status = gateway.get_command(ctx, "status") if isinstance(gateway, click.Group) else None
    if status is not None:
        with click.Context(status, parent=ctx, obj=Place(paths=place.paths, environ=place.environ)):
            click.get_current_context().invoke(status)


def _installed(service: Service, text: str, wish: Wish) -> bool:
    """Write it, have it started; False if one is there that stays."""
    from gateway.service import files
    from gateway.service.unit import drift

    there = files.read(service.file)
    if there is not None and not wish.force:
        differs = drift(there, text)
        facts = {"installed": True, "changed": False, "file": str(service.file), "drift": differs}
        click.echo(dumped(facts) if wish.as_json else _there(service, differs))
        return False
    if wish.force:
        refuse_older(service.place)
    _refuse(service, wish)
    files.write(service.file, text)
    _tell(wish, f"wrote   {shown(service.file, service.place.paths)}")
    service.manager.install(service.name, service.file)
    if wish.watch_config:
        _watch(service, wish)
    survives = _lingering(service, wish)
    if wish.start:
        service.manager.restart(service.name, service.file)
        await_ready(service.place)
    _told(service, wish, survives)
    return True


def _told(service: Service, wish: Wish, survives: str | None) -> None:
    """What was done, and how it stands now."""
    if wish.as_json:
        facts = {"installed": True, "changed": True, "file": str(service.file), "drift": []}
        click.echo(dumped({**facts, "started": wish.start, "linger": survives is None}))
        return
    kind = service.manager.kind
    started = f"started {service.name}, it is ready"
    click.echo(started if wish.start else f"enabled {service.name} ({kind})")
    if survives is not None:
        click.echo(f"Survives logout: NO, run: {survives}", err=True)


def _tell(wish: Wish, words: str) -> None:
    if not wish.as_json:
        click.echo(words)


def _watch(service: Service, wish: Wish) -> None:
    """Write the path unit: an edit of the config starts a gateway that gave up because of it."""
    from gateway.service import files
    from gateway.service.unit import watch_text

    if not service.name.endswith(".service"):
        _tell(wish, "note: --watch-config is for systemd; launchd tries again by itself")
        return
    paths = service.place.paths
    name = f"{service.name.removesuffix('.service')}.path"
    file = service.file.with_name(name)
    files.write(file, watch_text(paths.profile, paths.config, system=service.manager.system))
    service.manager.install(name, file)
    service.manager.start(name, file)
    _tell(wish, f"wrote   {shown(file, paths)}")


@click.command(epilog="Example: engine gateway uninstall")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def uninstall(ctx: click.Context, /, as_json: bool) -> None:
    """Stop the service and remove its unit; the home stays as it is."""
    place = here(ctx)
    service = find(place)
    if service is None:
        raise not_installed(place)
    refuse_older(place)
    watch = service.file.with_suffix(".path")
    if service.file.suffix == ".service" and watch.is_file():
        service.manager.remove(watch.name, watch)
    service.manager.remove(service.name, service.file)
    said(as_json, {"installed": False, "file": str(service.file)}, f"removed {service.file}")


# -- what it says ----------------------------------------------------------------------------


def _text(place: Place, manager: Manager, wish: Wish) -> str:
    from gateway.service import agent

    unit = _unit(place, manager, wish)
    if name_of(place, manager).endswith(".service"):
        return unit.text()
    return agent.text(
        profile=place.paths.profile,
        version=__version__,
        command=unit.command,
        folder=unit.folder,
        logs=place.paths.logs,
        environment=unit.environment,
    )


def _unit(place: Place, manager: Manager, wish: Wish) -> Unit:
    from gateway.service import unit
    from gateway.service.host import group_of, user_of

    paths, executable = place.paths, _executable(place, wish.wrapper)
    usual = paths.os_home / (
        ".engine" if paths.profile == "default" else f".engine-{paths.profile}"
    )
    head = (str(executable),) if wish.wrapper is not None else (str(executable), "-m", "engine")
    user = user_of(place.environ) if manager.system else None
    return unit.Unit(
        profile=paths.profile,
        version=__version__,
        command=(*head, "gateway", "run", *(("--port", str(wish.port)) if wish.port else ())),
        folder=paths.os_home,
        environment=unit.environment(
            profile=paths.profile,
            version=__version__,
            port=wish.port,
            state=None if paths.state == usual else paths.state,
            config=None if paths.config == paths.state / "engine.json" else paths.config,
            path=[
                paths.os_home / ".local" / "bin",
                executable.parent,
                *(Path(folder) for folder in _SYSTEM_PATH),
            ],
        ),
        user=user,
        group=None if user is None else group_of(user),
        systemd=manager.version(),
    )


def _executable(place: Place, wrapper: Path | None) -> Path:
    """What the service starts; refused if it will not be there, or not be us, tomorrow."""
    from gateway.service.files import refuse_passing
    from gateway.service.host import run

    if wrapper is not None:
        if not os.access(wrapper, os.X_OK):
            raise UsageError(
                "no service was written",
                why=f"{wrapper.absolute()} cannot be run",
                fix="name an executable file with --wrapper",
            )
        return wrapper.absolute()
    executable = Path(sys.executable).absolute()
    refuse_passing(executable, Path(tempfile.gettempdir()))
    # Without this folder and PYTHON variables, as the service will: else a checkout would do.
    asked = [str(executable), "-E", "-P", "-c", "import engine.cli.main"]
    if run(asked, place.environ).status == 1:
        raise UsageError(
            "no service was written",
            why=f"{executable} does not have the engine installed: it only runs from this folder",
            fix="install it (pipx install heartbeat-engine), or name --wrapper",
        )
    return executable


# -- what would not run ----------------------------------------------------------------------


def _refuse(service: Service, wish: Wish) -> None:
    """What would make a service that cannot run, before anything is written."""
    from engine.cli.at_rest import config_fault
    from engine.config import fast

    place, manager = service.place, service.manager
    if (why := manager.missing()) is not None:
        raise EngineError(
            "no service was installed",
            why=why,
            fix=f"{place.program} gateway start --detach",
        )
    _refuse_second(service, wish)
    if (fault := config_fault(place)) is not None:
        raise fault
    if fast.get(place.values, "gateway.mode") != "local":
        raise ConfigInvalid(
            "no service was installed",
            why="gateway.mode is not local: the gateway would refuse to start",
            fix=f"{place.program} config set gateway.mode local",
        )
    _refuse_unreachable(place, _unit(place, manager, wish).environment)


def _refuse_second(service: Service, wish: Wish) -> None:
    """Two units for one home, or for one port, would fight."""
    from gateway.service.unit import port_of

    place, manager = service.place, service.manager
    other = manager_of(place, system=not manager.system)
    beside = other.folder(place.paths.os_home) / service.name
    if other.system != manager.system and beside.exists():
        raise OwnershipRefused(
            "no service was installed",
            why=f"{beside} is there: two of them would fight for one home",
            fix=f"{place.program} gateway uninstall",
        )
    port = wish.port or place.port()[0]
    for folder in {one.folder(place.paths.os_home) for one in (manager, other)}:
        for file in folder.glob("engine-gateway*.service"):
            if file.name != service.name and port_of(file.read_text("utf-8", "replace")) == port:
                raise OwnershipRefused(
                    "no service was installed",
                    why=f"{file} is for port {port} as well",
                    fix=f"{place.program} gateway install --port {port + 20}",
                )


def _refuse_unreachable(place: Place, environment: Mapping[str, str]) -> None:
    """A secret that only this shell knows is none for a service: it has another environment."""
    from gateway import settings

    environ = {"HOME": str(place.paths.os_home), **environment}
    try:
        settings.load_config(place.paths, environ, jobs_may_wait=True)
    except ConfigInvalid:
        env = shown(place.paths.env_file, place.paths)
        note = f"note: a service does not see this shell: write its variables into {env}"
        click.echo(note, err=True)
        raise


def _lingering(service: Service, wish: Wish) -> str | None:
    """Have it outlive the log-out; the line to type where that is refused."""
    from gateway.service.host import linger, user_of

    if service.manager.system or not wish.linger or service.manager.kind == "launchd":
        return None
    place = service.place
    return linger(user_of(place.environ), place.environ)


# -- how it differs --------------------------------------------------------------------------


def drifted(place: Place) -> list[str]:
    """Return how the installed unit differs from what `install` would write now, a line each.

    A port that was named at the install stays named.
    """
    from gateway.service import agent, files
    from gateway.service.unit import drift, said_by

    service = find(place)
    text = None if service is None else files.read(service.file)
    if service is None or text is None:
        return []
    read = said_by if service.name.endswith(".service") else agent.said_by
    command, environ = read(text)
    pinned = environ.get("ENGINE_GATEWAY_PORT", "")
    port = int(pinned) if pinned.isdecimal() else None
    wrapper = Path(command[0]) if command and "-m" not in command else None
    if wrapper is not None and not os.access(wrapper, os.X_OK):
        return [f"- ExecStart={wrapper} (it is not there)"]
    return drift(text, _text(place, service.manager, Wish(port=port, wrapper=wrapper)))


def _there(service: Service, differs: list[str]) -> str:
    file = shown(service.file, service.place.paths)
    if not differs:
        return f"already installed: {file}"
    again = f"write it anew: {service.place.program} gateway install --force"
    return "\n".join((f"already installed, and it differs: {file}", *differs, again))
