"""`engine gateway probe` and `discover`: which gateways can be reached (operations.md §9.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click

from engine.cli.app import here
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.gateway import tunnel
from engine.cli.place import Place
from engine.cli.render import duration, relative, show_table
from engine.clock import SystemClock
from engine.config import fast
from gateway import lock
from jobs.errors import EngineError

PROBE_MS: Final = 3_000
LIMITED: Final = "Read-probe diagnostics are limited by gateway scopes (missing operator.read)"
UNREAD: Final = "Gateway accepted the WebSocket connection, but follow-up read diagnostics failed"
_MS: Final = timedelta(milliseconds=1)


@click.command(epilog="Example: engine gateway probe")
@click.option("--ssh", metavar="USER@HOST", help="Through a tunnel to that machine too.")
@gateway_options(timeout_ms=PROBE_MS)
def probe(line: Line, ssh: str | None) -> int:
    """Whether a gateway can be reached, how fast, and what this command may do there."""
    aims = list(_aims(line))
    share = line.timeout / (len(aims) + bool(ssh))
    with tunnel.through(ssh, line, share) as far:
        if far is not None:  # behind what was named by hand, before what is configured
            aims.insert(int(aims[0][0] == "explicit"), ("ssh", far))
        targets = [_target(name, replace(aim, timeout=share)) for name, aim in aims]
    reached = [one for one in targets if one["connect"]["ok"]]
    first = reached[0] if reached else targets[0]
    warnings = list(_warnings(targets))
    warnings[:0] = _beforehand(line.place, ssh if far is None else None)
    answer = {
        "ok": bool(reached),
        "degraded": bool(reached) and not all(one["connect"]["rpcOk"] for one in reached),
        "capability": first["auth"]["capability"],
        "primaryTargetId": first["id"],
        "warnings": warnings,
        "targets": targets,
        "discovery": {"timeoutMs": 0, "count": len(_homes(line.place))},
    }
    line.show(answer, _words)
    return 0 if reached else 1


def _aims(line: Line) -> Iterator[tuple[str, Line]]:
    """What is asked: the address that was given or is configured, and always this machine."""
    address = line.address
    named = "explicit" if address.source == "--url" else "remote"
    if address.loopback:
        yield named if address.source == "--url" else "loopback", line
        return
    yield named, line
    owner = line.place.owner
    port = owner.port if owner is not None and owner.port else line.place.port()[0]
    yield "loopback", replace(line, url=None, port=port, token=None, password=None)


def _beforehand(place: Place, failed: str | None) -> Iterator[dict[str, Any]]:
    """What is wrong before anything is asked."""
    if failed is not None:
        words = "SSH tunnel failed to start; falling back to direct probes."
        yield {"code": "ssh_tunnel_failed", "message": words, "targetIds": ["ssh"]}
    for kind in ("token", "password"):
        given = fast.get(place.values, f"gateway.auth.{kind}")
        found = fast.credential(place.paths, place.values, place.variables, kind)[0]
        if isinstance(given, dict) and found is None:
            words = f"gateway.auth.{kind} is a reference this command could not follow"
            yield {"code": "auth_secretref_unresolved", "message": words, "targetIds": []}


def _target(name: str, line: Line) -> dict[str, Any]:
    clock = SystemClock()
    began = clock.monotonic()
    connect: dict[str, Any] = {"ok": False, "rpcOk": False, "scopeLimited": False}
    auth: dict[str, Any] = {"role": None, "scopes": [], "capability": "unknown"}
    boot = None
    try:
        with line.open() as client:
            connect |= {"ok": True, "latencyMs": (clock.monotonic() - began) // _MS}
            told = client.hello.get("auth") or {}
            scopes = told.get("scopes") or []
            auth = {"role": told.get("role"), "scopes": scopes, "capability": capability(scopes)}
            boot = (client.hello.get("server") or {}).get("bootId")
            client.call("status")
            connect["rpcOk"] = True
    except EngineError as error:
        connect["scopeLimited"] = "missing scope" in error.why
        why = f"{error.what}: {error.why}" if error.why else error.what
        connect["error"] = {"code": error.code, "message": why, "fix": error.fix}
    return {"id": name, "url": line.address.url, "bootId": boot, "connect": connect, "auth": auth}


def _warnings(targets: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    limited = [one["id"] for one in targets if one["connect"]["scopeLimited"]]
    if limited:
        yield {"code": "probe_scope_limited", "message": LIMITED, "targetIds": limited}
    mute = [one["id"] for one in targets if one["connect"]["ok"] and _unread(one["connect"])]
    if mute:
        yield {"code": "probe_read_failed", "message": UNREAD, "targetIds": mute}
    boots = {one["bootId"]: one["id"] for one in targets if one["bootId"]}
    if len(boots) > 1:  # one gateway seen twice is one gateway
        words = "multiple reachable gateways detected"
        yield {"code": "multiple_gateways", "message": words, "targetIds": list(boots.values())}


def _unread(connect: Mapping[str, Any]) -> bool:
    return not connect["rpcOk"] and not connect["scopeLimited"]


def capability(scopes: object) -> str:
    """What a connection may do, in one word (operations.md §9.1)."""
    held = set(scopes) if isinstance(scopes, list | tuple) else set()
    for scope, word in (
        ("operator.admin", "admin-capable"),
        ("operator.write", "write-capable"),
        ("operator.read", "read-only"),
    ):
        if scope in held:
            return word
    return "connect-only" if held else "unknown"


def _words(answer: Mapping[str, Any]) -> str:
    lines = []
    for one in answer["targets"]:
        connect = one["connect"]
        if not connect["ok"]:
            lines.append(f"{one['url']}: {connect['error']['message']}")
            continue
        read = "ok" if connect["rpcOk"] else "failed"
        if connect["scopeLimited"]:
            read = "limited - missing scope: operator.read"
        took = duration(connect["latencyMs"])
        lines.append(f"{one['url']}: ok ({took}), {one['auth']['capability']}, Read probe: {read}")
    lines += [f"warning: {one['message']}" for one in answer["warnings"]]
    return "\n".join(lines)


@click.command(epilog="Example: engine gateway discover")
@click.option(
    "--timeout",
    type=click.IntRange(min=0),
    default=0,
    metavar="MS",
    help="Taken as other programs give it; this machine answers at once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def discover(ctx: click.Context, /, timeout: int, as_json: bool) -> None:
    """Gateways that run on this machine, one per home; the network is not searched."""
    found = [_beacon(home, owner) for home, owner in _homes(here(ctx))]
    if as_json:
        click.echo(dumped({"timeoutMs": timeout, "count": len(found), "beacons": found}))
        return
    if not found:
        click.echo("No gateway runs on this machine; one elsewhere is reached with --url.")
        return
    now = SystemClock().now()
    rows = [
        (one["profile"], one["url"], str(one["pid"]), one["version"], relative(one["since"], now))
        for one in found
    ]
    show_table(("PROFILE", "ADDRESS", "PID", "VERSION", "STARTED"), rows, keep=2)


def _homes(place: Place) -> list[tuple[Path, lock.Owner]]:
    """The homes of this user that somebody holds."""
    paths = place.paths
    homes = {paths.state, *paths.os_home.glob(".engine"), *paths.os_home.glob(".engine-*")}
    held = [(home, lock.read(home)) for home in sorted(homes)]
    return [(home, owner) for home, owner in held if owner is not None and owner.port]


def _beacon(home: Path, owner: lock.Owner) -> dict[str, Any]:
    return {
        "profile": owner.profile,
        "url": f"ws://127.0.0.1:{owner.port}",  # every bind listens there too
        "pid": owner.pid,
        "version": owner.version,
        "bootId": owner.boot_id,
        "since": owner.started_at_ms,
        "home": str(home),
    }
