"""What `gateway status` finds, as its JSON has it (operations.md §9.3): keys are only ever added.

Every part is looked at by itself, so a config that is broken, a service manager that is not
there or a gateway that refuses takes nothing away from the rest.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from engine import __version__
from engine.cli.ask import Line
from engine.cli.at_rest import config_fault
from engine.cli.gateway.probe import capability
from engine.cli.gateway.report import host
from engine.cli.gateway.report.verdict import verdict
from engine.cli.place import Place
from engine.clock import SystemClock
from engine.config import fast
from gateway import exits
from jobs.errors import AccessRefused, ConfigInvalid, EngineError

SCHEMA: Final = 1
_MS: Final = timedelta(milliseconds=1)
_HOSTS: Final[Mapping[str, tuple[str, ...]]] = {
    "loopback": ("127.0.0.1", "::1"),
    "lan": ("0.0.0.0", "::"),  # noqa: S104 - named, never bound here
}
_SCOPED: Final = ("operator.read", "missing scope")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the connection told; all None where none was opened."""

    probe: Mapping[str, Any]
    rpc: Mapping[str, Any]
    scheduler: Mapping[str, Any] | None = None
    failing: Mapping[str, str] | None = None
    down: EngineError | None = None


def report(line: Line, *, probe: bool, deep: bool) -> dict[str, Any]:
    """Return everything that is known."""
    place = line.place
    invalid = config_fault(place)
    probed = probed_at(line) if probe else Probed(probe={"ok": None, "kind": "none"}, rpc=_NO_RPC)
    code, said, fix = verdict(probed.down, invalid, probed.failing or {})
    owner, service = place.owner, service_of(place)
    if not probe and owner is None and code == "ok":
        code, said, fix = "gateway.stopped", "no gateway runs on this home", _start(place, service)
    ended = exits.read(place.paths.state)
    ports = _port(place, service)
    today = SystemClock().now().astimezone()
    return {
        "schema": SCHEMA,
        "ok": code == "ok",
        "verdict": {"code": code, "message": said, "fix": fix},
        "cli": {"version": __version__, "entrypoint": sys.argv[0]},
        "logFile": str(place.paths.logs / f"engine-{today:%Y-%m-%d}.log"),
        "stateDir": str(place.paths.state),
        "service": service,
        "config": _configs(place, invalid),
        "gateway": _gateway(line, ports["port"]),
        "auth": _auth(line, probed),
        "port": ports,
        "probe": probed.probe,
        "rpc": probed.rpc,
        "scheduler": probed.scheduler,
        "linger": host.survives_logout(place),
        "lastExit": None if ended is None else ended.to_json(),
        "lastError": None if ended is None else ended.last_error,
        "extraServices": host.others(place, service["file"]) if deep else [],
    }


# -- the service ---------------------------------------------------------------------------------


def service_of(place: Place) -> dict[str, Any]:
    """Return the service of this profile, and the process where none is installed."""
    from engine.cli.service import described
    from gateway.service import files, unit

    told = described(place)
    text = files.read(Path(told["file"])) if told["installed"] else None
    command, environ = unit.said_by(text or "")
    run = told.get("runtime") or {}
    owner = place.owner
    ended = exits.read(place.paths.state)
    lives = owner is not None
    return {
        **told,
        "enabled": bool(run.get("enabled")),
        "loaded": bool(run.get("loaded")),
        "command": command,
        "env": environ,
        "missing": None if told["installed"] else _no_manager(place),
        "runtime": {
            "status": "running" if lives else "stopped",
            "pid": owner.pid if owner is not None else run.get("pid"),
            "state": run.get("state") or ("active" if lives else "inactive"),
            "subState": run.get("subState") or ("running" if lives else "dead"),
            "lastExitCode": ended.code if ended is not None else run.get("lastExitCode"),
            "lastExitReason": None if ended is None else ended.reason.value,
            "restarts": run.get("restarts") or 0,
            "since": None if owner is None else owner.started_at_ms,
            "enabled": bool(run.get("enabled")),
            "loaded": bool(run.get("loaded")),
            "result": run.get("result"),
        },
        "drift": _drift(place) if told["installed"] else [],
    }


def _no_manager(place: Place) -> str | None:
    from gateway.service.host import Systemd

    if sys.platform == "darwin":
        return None
    return Systemd(environ=place.environ).missing()


def _drift(place: Place) -> list[str]:
    from engine.cli.gateway.service import drifted

    try:
        return drifted(place)
    except EngineError:  # this interpreter would not be written into a unit
        return []


def _start(place: Place, service: Mapping[str, Any]) -> str:
    return f"{place.program} gateway start" if service["installed"] else f"{place.program} gateway"


# -- config, address, credential -----------------------------------------------------------------


def _configs(place: Place, invalid: EngineError | None) -> dict[str, Any]:
    listed = [] if invalid is None else invalid.detail.get("issues") or [{"message": str(invalid)}]
    file, owner = place.paths.config, place.owner
    mine = {
        "path": str(file),
        "exists": file.is_file(),
        "valid": invalid is None,
        "issues": listed,
        "writtenBy": _written_by(place),
    }
    theirs = owner.config_path if owner is not None else ""
    return {
        "cli": mine,
        "daemon": {**mine, "path": theirs} if theirs else None,
        "mismatch": theirs not in ("", str(file)),
    }


def _written_by(place: Place) -> str | None:
    found = fast.get(place.values, "meta.lastTouchedVersion")
    return found if isinstance(found, str) else None


def _gateway(line: Line, port: int) -> dict[str, Any]:
    place, address, owner = line.place, line.address, line.place.owner
    mode = place.environ.get("ENGINE_GATEWAY_BIND") or fast.get(place.values, "gateway.bind")
    mode = mode if isinstance(mode, str) else "loopback"
    own = fast.get(place.values, "gateway.customBindHost")
    hosts = _HOSTS.get(mode) or (("127.0.0.1", own) if isinstance(own, str) else ())
    note = f"bind={mode} listens on {hosts[0]} …; probing via 127.0.0.1." if mode == "lan" else None
    return {
        "bindMode": mode,
        "bindHosts": list(hosts),
        "port": port,
        "portSource": place.port()[1] if owner is None or owner.port is None else _source(place),
        "probeUrl": address.url,
        "urlSource": address.source,
        "probeNote": note,
        "dashboardUrl": f"http://127.0.0.1:{port}/",
        "version": owner.version if owner else None,
        "bootId": owner.boot_id if owner else None,
        "uptimeMs": None,
    }


def _source(place: Place) -> str:
    """Which layer a port that is taken came from: the config's, or what was said at the start."""
    number, source = place.port()
    owner = place.owner
    return source if owner is not None and owner.port == number else "service args"


def _port(place: Place, service: Mapping[str, Any]) -> dict[str, Any]:
    owner = place.owner
    port = owner.port if owner is not None and owner.port else place.port()[0]
    found = host.listeners(port)
    ours = {owner.pid if owner is not None else None, service["runtime"]["pid"]} - {None}
    mine = any(one["pid"] in ours for one in found) or (bool(found) and owner is not None)
    status = "free" if not found else "ours" if mine else "foreign"
    hints = []
    if status == "foreign":
        who = next((one for one in found if one["pid"]), None)
        named = f"pid {who['pid']} ({who['command']})" if who else "another user's process"
        hints = [f"port {port} is in use by {named}: stop it, or choose another --port"]
    return {"port": port, "status": status, "listeners": found, "hints": hints}


def _auth(line: Line, probed: Probed) -> dict[str, Any]:
    place = line.place
    refused = isinstance(probed.down, AccessRefused)
    return {
        "mode": _mode(place),
        "serverSource": _server_source(place),
        "clientSource": _client_source(line),
        "match": True if probed.probe.get("ok") else False if refused else None,
    }


def _mode(place: Place) -> str:
    given = fast.get(place.values, "gateway.auth.mode")
    if isinstance(given, str):
        return given
    for key, mode in (("trustedProxy", "trusted-proxy"), ("password", "password")):
        if fast.get(place.values, f"gateway.auth.{key}") not in (fast.MISSING, None):
            return mode
    return "token"


def _server_source(place: Place) -> str:
    for kind in ("password", "token"):
        source = fast.credential(place.paths, place.values, place.variables, kind)[1]
        if source != "none":
            return source
    return "none"


def _client_source(line: Line) -> str:
    try:
        return line.credentials.source
    except EngineError:
        return "none"


# -- the connection ------------------------------------------------------------------------------

_NO_RPC: Final[Mapping[str, Any]] = {"ok": None, "capability": "unknown", "scopes": []}


def probed_at(line: Line) -> Probed:
    """Connect, and read; what a scope forbids is no fault of the connection."""
    clock = SystemClock()
    began = clock.monotonic()
    probe: dict[str, Any] = {"ok": False, "kind": "connect", "latencyMs": None}
    rpc: dict[str, Any] = {"ok": False, "capability": "unknown", "scopes": []}
    try:
        with line.open() as client:
            probe |= {"ok": True, "latencyMs": (clock.monotonic() - began) // _MS}
            scopes = list((client.hello.get("auth") or {}).get("scopes") or ())
            rpc |= {"capability": capability(scopes), "scopes": scopes}
            cron = client.call("cron.status")
            health = client.call("health", {"probe": True})
    except EngineError as error:
        if _is_scope(error):
            rpc["authWarning"] = (
                "Read-probe diagnostics are limited by gateway scopes (missing operator.read)"
            )
            return Probed(probe=probe, rpc=rpc)
        if probe["ok"]:  # connected, and then something did not answer
            rpc["error"] = _told(error)
            return Probed(probe=probe, rpc=rpc, failing={"rpc": str(error)})
        rpc["capability"] = _pending(error)
        return Probed(probe={**probe, "error": _told(error)}, rpc=rpc, down=error)
    rpc["ok"], probe["kind"] = True, "read"
    told = health.get("scheduler") or {}
    soonest = (cron.get("nextWakeAtMs"), cron.get("nextRunAtMs"))
    scheduler = {
        **cron,
        "armed": bool(told.get("armed", True)),
        "nextWakeAt": soonest[0],
        "nextWakeReason": None if soonest[0] is None else _reason(soonest),
        "lagMs": told.get("lagMs"),
    }
    failing = health.get("failing") or {}
    return Probed(probe=probe, rpc=rpc, scheduler=scheduler, failing=failing)


def _reason(soonest: tuple[int | None, int | None]) -> str:
    return "job" if soonest[0] == soonest[1] else "heartbeat"


def _is_scope(error: EngineError) -> bool:
    return any(word in f"{error.what} {error.why}" for word in _SCOPED)


def _pending(error: EngineError) -> str:
    return "pairing-pending" if "PAIRING_REQUIRED" in str(error.detail) else "unknown"


def _told(error: EngineError) -> dict[str, Any]:
    if isinstance(error, ConfigInvalid):
        return {"code": error.code, "message": error.what}
    why = f"{error.what}: {error.why}" if error.why else error.what
    cause = error.detail.get("cause")
    return {"code": error.code, "message": why, **({"cause": cause} if cause else {})}
