"""`engine gateway`: run it, ask how it is, call a method (operations.md §6, §9.1)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import click

from engine import __version__
from engine.cli.app import Group, here
from engine.cli.ask import Line, gateway_options
from engine.cli.at_rest import config_fault
from engine.cli.ending import dumped
from engine.cli.gateway.probe import PROBE_MS, capability, discover, probe
from engine.cli.gateway.service import install, restart, start, stop, uninstall
from engine.cli.place import Place, shown
from engine.cli.render import facts, relative
from engine.cli.service import described
from engine.cli.status import health, verdict
from engine.clock import SystemClock
from gateway import exits, lock
from jobs.errors import EngineError, UsageError
from jobs.wallclock import at, zone

_BINDS: Final = ("loopback", "lan", "tailnet", "custom", "auto")
_MS: Final = timedelta(milliseconds=1)
_JUST_STARTED: Final = timedelta(minutes=10)


def run_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Flags of `engine gateway` and `engine gateway run`."""
    flags = (
        click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 takes a free one."),
        click.option("--bind", type=click.Choice(_BINDS), help="loopback unless said otherwise."),
        click.option("--token", help="Token to ask for; kept nowhere."),
        click.option("--force", is_flag=True, help="Stop whoever holds the port (not yet)."),
        click.option("--verbose", is_flag=True, help="Tell more on the console."),
        click.option(
            "--allow-unconfigured", is_flag=True, help="Start without gateway.mode in the config."
        ),
    )
    for flag in reversed(flags):
        command = flag(command)
    return command


@click.group(
    cls=Group, name="gateway", invoke_without_command=True, epilog="Example: engine gateway"
)
@run_flags
@click.pass_context
def group(ctx: click.Context, /, **given: Any) -> int:
    """Run the gateway here, until Ctrl-C; or ask how it is.

    Without a subcommand it is `engine gateway run`.
    """
    return 0 if ctx.invoked_subcommand is not None else serve(here(ctx), **given)


@group.command("run", epilog="Example: engine gateway run --port 19001")
@run_flags
@click.pass_context
def run_here(ctx: click.Context, /, **given: Any) -> int:
    """Run the gateway in this terminal, until Ctrl-C."""
    return serve(here(ctx), **given)


def serve(
    place: Place,
    *,
    port: int | None,
    bind: str | None,
    token: str | None,
    force: bool,
    verbose: bool,
    allow_unconfigured: bool,
) -> int:
    """Hand over to the gateway; its exit status."""
    if force:
        raise UsageError(
            "--force is not supported yet",
            why="nothing was stopped",
            fix="stop the other process yourself, or choose --port",
        )
    place.credentials(place.address(), token=token)  # refuses a redaction marker
    from gateway.app.life import serve as served
    from gateway.runtime import run
    from gateway.settings import RunOptions

    options = RunOptions(
        paths=place.paths,
        port=port,
        bind=bind,
        token=token,
        verbose=verbose,
        allow_unconfigured=allow_unconfigured,
    )
    return run(served(options))


# -- how it is -------------------------------------------------------------------------------


@group.command(epilog="Example: engine gateway status --json")
@click.option("--no-probe", is_flag=True, help="Open no connection.")
@click.option("--exit-zero", is_flag=True, help="Exit status 0 whatever is found.")
@gateway_options(timeout_ms=PROBE_MS)
def status(line: Line, no_probe: bool, exit_zero: bool) -> int:
    """What stands in the way, if anything; works with a broken config. Exit 1 if unhealthy."""
    report = _report(line, probe=not no_probe)
    click.echo(dumped(report) if line.as_json else _report_words(report, line.place))
    return 0 if report["ok"] or exit_zero else 1


def _report(line: Line, *, probe: bool) -> dict[str, Any]:
    place, address = line.place, line.address
    invalid = config_fault(place)
    probed: dict[str, Any] = {"ok": None, "kind": "none"}
    down = None
    if probe:
        probed, down = _probe(line)
    code, said, fix = verdict(down, invalid, probed.pop("failing", {}))
    owner, (port, source) = place.owner, place.port()
    return {
        "schema": 1,
        "ok": code == "ok" and (probe or owner is not None),
        "verdict": {"code": code, "message": said, "fix": fix},
        "cli": {"version": __version__},
        "config": {"cli": _config(place, invalid), "mismatch": _mismatch(place)},
        "gateway": {
            "port": port if owner is None or owner.port is None else owner.port,
            "portSource": source if owner is None else "lock",
            "probeUrl": address.url,
            "urlSource": address.source,
            "version": owner.version if owner else None,
            "bootId": owner.boot_id if owner else None,
        },
        "service": described(place),
        "runtime": _runtime(owner),
        "auth": {"clientSource": line.credentials.source},
        "probe": probed,
        "scheduler": probed.pop("scheduler", None),
        "lastExit": _last_exit(place),
    }


def _config(place: Place, invalid: EngineError | None) -> dict[str, Any]:
    issues = [] if invalid is None else invalid.detail.get("issues") or [{"message": str(invalid)}]
    file = place.paths.config
    return {
        "path": str(file),
        "exists": file.is_file(),
        "valid": invalid is None,
        "issues": issues,
    }


def _mismatch(place: Place) -> bool:
    owner = place.owner
    return owner is not None and owner.config_path not in ("", str(place.paths.config))


def _runtime(owner: lock.Owner | None) -> dict[str, Any]:
    if owner is None:
        return {"status": "stopped"}
    return {"status": "running", "pid": owner.pid, "since": owner.started_at_ms}


def _last_exit(place: Place) -> dict[str, Any] | None:
    ended = exits.read(place.paths.state)
    return None if ended is None else ended.to_json()


def _probe(line: Line) -> tuple[dict[str, Any], EngineError | None]:
    clock = SystemClock()
    began = clock.monotonic()
    try:
        with line.open() as client:
            took = (clock.monotonic() - began) // _MS
            scopes = (client.hello.get("auth") or {}).get("scopes") or ()
            scheduler = client.call("cron.status")
            failing = client.call("health", {"probe": True}).get("failing") or {}
    except EngineError as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        told = {"code": error.code, "message": why}
        return {"ok": False, "kind": "connect", "error": told}, error
    found = {"ok": True, "kind": "read", "latencyMs": took, "capability": capability(scopes)}
    return {**found, "scheduler": scheduler, "failing": failing}, None


def _report_words(report: Mapping[str, Any], place: Place) -> str:
    now = SystemClock().now()
    said, probe, gateway = report["verdict"], report["probe"], report["gateway"]
    config, runtime = report["config"]["cli"], report["runtime"]
    state = "valid" if config["valid"] else f"invalid ({len(config['issues'])} issues)"
    rows: dict[str, object] = {
        "Verdict": f"{said['message']}. Fix: {said['fix']}" if said["fix"] else said["message"],
        "Config (cli)": f"{shown(place.paths.config, place.paths)} ({state})"
        if config["exists"]
        else f"{shown(place.paths.config, place.paths)} (not there yet: engine setup)",
        "Service": _service_words(report["service"]),
        "Gateway": f"port={gateway['port']} ({gateway['portSource']})",
        "Auth": f"token found in {report['auth']['clientSource']}, will be sent"
        if report["auth"]["clientSource"] != "none"
        else "no credential found on this machine",
        "Probe target": gateway["probeUrl"],
        "CLI version": report["cli"]["version"],
    }
    if report["config"]["mismatch"]:
        rows["Config (gateway)"] = f"{place.owner.config_path if place.owner else ''} MISMATCH"
    if gateway["version"]:
        rows["Gateway version"] = gateway["version"]
    rows["Runtime"] = _runtime_words(runtime, now)
    if report["lastExit"] and _worth_telling(runtime, now):
        ended = exits.LastExit.from_json(report["lastExit"])
        rows["Last exit"] = ended.at_local(zone(place.zone), now)
        rows |= {"Last gateway error": ended.last_error} if ended.last_error else {}
    if probe["ok"] is not None:
        rows["Connectivity probe"] = (
            f"ok ({probe['latencyMs']} ms)" if probe["ok"] else probe["error"]["message"]
        )
    if probe.get("capability"):
        rows["Capability"] = probe["capability"]
    if report["scheduler"]:
        rows["Scheduler"] = _scheduler_words(report["scheduler"], now)
    return facts(rows)


def _service_words(service: Mapping[str, Any]) -> str:
    if not service["installed"]:
        return "not installed"
    run = service["runtime"]
    enabled = "enabled" if run["enabled"] else "not enabled: it does not start with the machine"
    return f"{service['manager']} ({enabled}), {run['state']}/{run['subState']}"


def _runtime_words(runtime: Mapping[str, Any], now: Any) -> str:
    if runtime["status"] == "stopped":
        return "stopped"
    return f"running (pid {runtime['pid']}, started {relative(runtime['since'], now)})"


def _worth_telling(runtime: Mapping[str, Any], now: datetime) -> bool:
    """How the last one ended matters while none runs, and just after a restart (§9.1)."""
    return runtime["status"] == "stopped" or now - at(runtime["since"]) < _JUST_STARTED


def _scheduler_words(scheduler: Mapping[str, Any], now: Any) -> str:
    if scheduler.get("enabled") is False:
        return "switched off (cron.enabled)"
    return f"armed, next wake {relative(scheduler.get('nextWakeAtMs'), now)}"


@group.command("call", epilog="Example: engine gateway call cron.list --params '{\"limit\": 5}'")
@click.argument("method")
@click.option("--params", metavar="JSON", default="{}", show_default=True)
@click.option("--final", is_flag=True, help="Wait for the second answer of `agent`.")
@gateway_options()
def call_method(line: Line, method: str, params: str, final: bool) -> None:
    """Call one method and print its answer."""
    try:
        values = json.loads(params)
    except ValueError as error:
        raise UsageError(
            "--params was not understood", why=f"it is not JSON ({error})", fix="--params '{}'"
        ) from error
    if not isinstance(values, dict):
        raise UsageError(
            "--params was not understood", why="it is not an object", fix="--params '{}'"
        )
    click.echo(dumped(line.call(method, values, final=final)))


for command in (health, install, uninstall, start, stop, restart):
    group.add_command(command)
group.add_command(probe)
group.add_command(discover)
