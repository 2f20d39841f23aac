"""`gateway status` for people: one fact a line, in the order of operations.md §9.1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from engine.cli.place import Place, shown
from engine.cli.render import duration, facts, relative, stamp
from gateway import exits
from jobs.wallclock import at, ms, zone

_JUST_STARTED: Final = timedelta(minutes=10)
Rows = Iterator[tuple[str, str]]


def told(report: Mapping[str, Any], place: Place, now: datetime) -> str:
    """Return the whole report."""
    rows: dict[str, object] = {}
    parts: tuple[Callable[[Mapping[str, Any], Place, datetime], Rows], ...] = (
        _verdict, _service, _config, _address, _versions, _runtime, _probe, _rest,
    )  # fmt: skip
    for part in parts:
        rows |= dict(part(report, place, now))
    lines = [facts(rows)]
    if others := report["extraServices"]:
        lines.append("Other gateway-like services detected (best effort)")
        lines += [f"  {one['kind']} {one['name']}: {one['where']}" for one in others]
    if troubles := list(_troubles(report)):
        lines.append("Troubles:")
        lines += [f"  {one}" for one in troubles]
    return "\n".join(lines)


def _verdict(report: Mapping[str, Any], _place: Place, _now: datetime) -> Rows:
    said = report["verdict"]
    yield "Verdict", f"{said['message']}. Fix: {said['fix']}" if said["fix"] else said["message"]


def _service(report: Mapping[str, Any], place: Place, _now: datetime) -> Rows:
    service = report["service"]
    yield "Service", service_words(service)
    yield "File logs", shown(Path(report["logFile"]), place.paths)
    if not service["installed"]:
        return
    if service["command"]:
        yield "Command", " ".join(service["command"])
    yield "Service file", shown(Path(service["file"]), place.paths)
    if service["env"]:
        yield "Service env", " ".join(f"{name}={said}" for name, said in service["env"].items())


def service_words(service: Mapping[str, Any]) -> str:
    """Return one line about the service."""
    if not service["installed"]:
        return "no service manager" if service.get("missing") else "not installed"
    enabled = "enabled" if service["enabled"] else "not enabled: it does not start with the machine"
    return f"{service['manager']} ({enabled})"


def _config(report: Mapping[str, Any], place: Place, _now: datetime) -> Rows:
    mine, theirs = report["config"]["cli"], report["config"]["daemon"]
    yield "Config (cli)", _file(mine, place)
    if theirs is not None:
        same = "MISMATCH" if report["config"]["mismatch"] else "(same file)"
        yield "Config (service)", f"{_file(theirs, place)} {same}"


def _file(config: Mapping[str, Any], place: Place) -> str:
    name, count = shown(Path(config["path"]), place.paths), len(config["issues"])
    if not config["exists"]:
        return f"{name} (not there yet: {place.program} setup)"
    state = "valid" if config["valid"] else f"invalid ({count} issue{'s' * (count != 1)})"
    return f"{name} ({state})"


def _address(report: Mapping[str, Any], _place: Place, _now: datetime) -> Rows:
    gateway, auth = report["gateway"], report["auth"]
    hosts = gateway["bindHosts"]
    bind = f"{gateway['bindMode']} ({hosts[0]})" if hosts else gateway["bindMode"]
    yield "Gateway", f"bind={bind}, port={gateway['port']} ({gateway['portSource']})"
    sent = (
        f"{auth['mode']} found in {auth['clientSource']} → will be sent"
        if auth["clientSource"] != "none"
        else "no credential found on this machine"
    )
    origin = "" if auth["serverSource"] == "none" else f" (from {auth['serverSource']})"
    yield "Auth", f"{auth['mode']}{origin}; CLI: {sent}"
    yield "Probe target", gateway["probeUrl"]
    if gateway["probeNote"]:
        yield "Probe note", gateway["probeNote"]
    yield "Dashboard", gateway["dashboardUrl"]


def _versions(report: Mapping[str, Any], _place: Place, _now: datetime) -> Rows:
    yield "CLI version", report["cli"]["version"]
    if report["gateway"]["version"]:
        yield "Gateway version", report["gateway"]["version"]
    if report["config"]["cli"]["writtenBy"]:
        yield "Config written by", report["config"]["cli"]["writtenBy"]


def _runtime(report: Mapping[str, Any], place: Place, now: datetime) -> Rows:
    run = report["service"]["runtime"]
    yield "Runtime", runtime_words(run, now)
    ended = report["lastExit"]
    if ended is None or not (run["status"] == "stopped" or now - at(run["since"]) < _JUST_STARTED):
        return
    last = exits.LastExit.from_json(ended)
    yield "Last exit", last.at_local(zone(place.zone), now)
    if last.last_error:
        yield "Last gateway error", last.last_error


def runtime_words(run: Mapping[str, Any], now: datetime) -> str:
    """Return `running (pid …, state …, sub …, …)` or `stopped (…)` (operations.md §1.4)."""
    head = f"state {run['state']}, sub {run['subState']}"
    if run["status"] == "running":
        up = duration(ms(now) - run["since"])
        return f"running (pid {run['pid']}, {head}, up {up}, restarts {run['restarts']})"
    ended = [f"last exit {run['lastExitCode']}"] if run["lastExitCode"] is not None else []
    ended += [f"reason {run['lastExitReason']}"] if run["lastExitReason"] else []
    return f"stopped ({', '.join((head, *ended))})"


def _probe(report: Mapping[str, Any], _place: Place, _now: datetime) -> Rows:
    probe, rpc = report["probe"], report["rpc"]
    if probe["ok"] is not None:
        words = f"ok ({probe['latencyMs']} ms)" if probe["ok"] else probe["error"]["message"]
        yield "Connectivity probe", words
        yield "Capability", rpc["capability"]
    if rpc.get("authWarning"):
        yield "Read probe", f"limited - missing scope: operator.read ({rpc['authWarning']})"
    elif rpc.get("error"):
        yield "Read probe", f"failed: {rpc['error']['message']}"


def _rest(report: Mapping[str, Any], place: Place, now: datetime) -> Rows:
    if listening := list(_listening(report)):
        yield "Listening", ", ".join(listening)
    if report["scheduler"]:
        yield "Scheduler", scheduler_words(report["scheduler"], place, now)
    if report["service"]["manager"] != "systemd system" and report["linger"] is not None:
        yield "Survives logout", linger_words(report["linger"])


def linger_words(lingers: bool | None) -> str:
    """Return whether the service outlives the log-out (operations.md §8.2)."""
    if lingers is None:
        return "not known (this machine has no systemd to ask)"
    import getpass

    return (
        "yes (linger)" if lingers else f"NO — run: sudo loginctl enable-linger {getpass.getuser()}"
    )


def _listening(report: Mapping[str, Any]) -> Iterator[str]:
    ours = {"ours": ", this service"}.get(report["port"]["status"], "")
    for one in report["port"]["listeners"]:
        who = f"pid {one['pid']}" if one["pid"] else "another user"
        named = f", {one['command']}" if one["command"] and not ours else ""
        yield f"{one['address']} ({who}{ours}{named})"


def scheduler_words(scheduler: Mapping[str, Any], place: Place, now: datetime) -> str:
    """Return `armed, next wake 14:00:00 (heartbeat), lag 3 ms`."""
    if scheduler.get("enabled") is False:
        return "switched off (cron.enabled)"
    armed = "armed" if scheduler["armed"] else "NOT ARMED"
    soonest = scheduler.get("nextWakeAt")
    if soonest is None:
        return f"{armed}, nothing is planned"
    when = f"{stamp(soonest, zone(place.zone), now)} ({scheduler['nextWakeReason']}, "
    lag = scheduler.get("lagMs")
    late = "" if lag is None else f", lag {lag} ms"
    return f"{armed}, next wake {when}{relative(soonest, now)}){late}"


def _troubles(report: Mapping[str, Any]) -> Iterator[str]:
    yield from report["port"]["hints"]
    service = report["service"]
    if service["drift"]:
        yield "the service file differs from what this engine would write: gateway install --force"
    if service["installed"] and service["enabled"] and service["runtime"]["status"] == "stopped":
        yield "Service is loaded but not running (likely exited immediately)."
    if report["config"]["mismatch"]:
        yield "the gateway runs with another config file than this command reads"
    versions = (report["gateway"]["version"], report["cli"]["version"])
    if versions[0] not in (None, versions[1]):
        yield f"the gateway is {versions[0]}, this command {versions[1]}: engine gateway restart"
