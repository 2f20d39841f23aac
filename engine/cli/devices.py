"""`engine devices`: keys that connect, who of them is let in, their tokens (protocol.md §4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import click

from engine.cli.app import Group
from engine.cli.ask import Line, gateway_options
from engine.cli.render import relative, show_table
from engine.clock import SystemClock
from jobs.errors import NotFound, UsageError

_SHOWN = 12  # characters of an id: enough to tell devices apart


@click.group(cls=Group, name="devices", epilog="Example: engine devices list")
def group() -> None:
    """Devices that ask to be let in, those that are, and their tokens."""


@group.command("list", epilog="Example: engine devices list --json")
@gateway_options()
def listing(line: Line) -> None:
    """Who asks to be let in, and who is."""
    answer = line.call("device.pair.list")
    if line.as_json:
        line.show(answer, str)
        return
    now = SystemClock().now()
    pending, paired = answer.get("pending") or (), answer.get("paired") or ()
    if pending:
        rows = [
            (str(one["requestId"]), *_who(one), _asks(one), relative(one["ts"], now))
            for one in pending
        ]
        show_table(("REQUEST", "DEVICE", "CLIENT", "ASKS FOR", "WHEN"), rows, keep=1)
        click.echo(f"Let in with: engine devices approve {pending[0]['requestId']}")
    else:
        click.echo("No device asks to be let in.")
    if paired:
        rows = [
            (*_who(one), " ".join(_short(one["scopes"])), _tokens(one), _seen(one, now))
            for one in paired
        ]
        show_table(("DEVICE", "CLIENT", "MAY", "TOKEN", "SEEN"), rows, keep=1)


@group.command(epilog="Example: engine devices approve 1f0e3dad99908345")
@click.argument("request_id", required=False)
@click.option("--latest", is_flag=True, help="The one that asked last.")
@gateway_options()
def approve(line: Line, request_id: str | None, latest: bool) -> None:
    """Let a device in with what it asks for."""
    if (request_id is None) is not latest:
        raise UsageError(
            "no device was named",
            why="give the id of a request, or --latest",
            fix="engine devices list",
        )
    chosen = request_id or _latest(line)
    answer = line.call("device.pair.approve", _keyed(requestId=chosen))
    line.show(answer, lambda told: f"Let in: {_name(told['device'])}, as {_may(told['device'])}.")


@group.command(epilog="Example: engine devices reject 1f0e3dad99908345")
@click.argument("request_id")
@gateway_options()
def reject(line: Line, request_id: str) -> None:
    """Turn a request down; what the device may already stays."""
    answer = line.call("device.pair.reject", _keyed(requestId=request_id))
    line.show(answer, lambda told: f"Rejected: {_brief(told['deviceId'])}.")


@group.command(epilog="Example: engine devices remove 630dcd2966c4")
@click.argument("device")
@gateway_options()
def remove(line: Line, device: str) -> None:
    """Forget a device with its tokens; it is cut off at once."""
    answer = line.call("device.pair.remove", _keyed(deviceId=_whole(line, device)))
    line.show(answer, lambda told: f"Removed: {_brief(told['deviceId'])}; its connections end.")


@group.command(epilog="Example: engine devices rotate 630dcd2966c4 --scope operator.read")
@click.argument("device")
@click.option("--role", default="operator", show_default=True, help="Whose token.")
@click.option("--scope", "scopes", multiple=True, help="What it may; repeat. Default: as before.")
@gateway_options()
def rotate(line: Line, device: str, role: str, scopes: tuple[str, ...]) -> None:
    """Replace a device's token; the device gets the new one when it connects next."""
    asked = {"scopes": list(scopes)} if scopes else {}
    params = _keyed(deviceId=_whole(line, device), role=role, **asked)
    answer = line.call("device.token.rotate", params)
    line.show(answer, lambda told: f"Rotated: {_brief(told['deviceId'])}, {role}: {_scopes(told)}.")


@group.command(epilog="Example: engine devices revoke 630dcd2966c4")
@click.argument("device")
@click.option("--role", default="operator", show_default=True, help="Whose token.")
@gateway_options()
def revoke(line: Line, device: str, role: str) -> None:
    """Make a device's token worthless; with the gateway's own token it may come again."""
    params = _keyed(deviceId=_whole(line, device), role=role)
    answer = line.call("device.token.revoke", params)
    line.show(answer, lambda told: f"Revoked: the {role} token of {_brief(told['deviceId'])}.")


def _keyed(**params: Any) -> dict[str, Any]:
    return {**params, "idempotencyKey": str(uuid4())}


def _latest(line: Line) -> str:
    pending = line.call("device.pair.list").get("pending") or ()
    if not pending:
        raise NotFound("no device asks to be let in", fix="engine devices list")
    return str(max(pending, key=lambda one: int(one["ts"]))["requestId"])


def _whole(line: Line, given: str) -> str:
    """The id that begins like this."""
    if len(given) >= 64:
        return given
    known = [str(one["deviceId"]) for one in line.call("device.pair.list").get("paired") or ()]
    found = [one for one in known if one.startswith(given.lower())]
    if len(found) == 1:
        return found[0]
    why = f"{len(found)} devices begin like this" if found else "no device begins like this"
    raise NotFound(f"{given} names no device", why=why, fix="engine devices list")


def _who(one: Mapping[str, Any]) -> tuple[str, str]:
    return _name(one), f"{one['clientId']}/{one['clientMode']}"


def _name(one: Mapping[str, Any]) -> str:
    brief = _brief(one["deviceId"])
    return f"{one['displayName']} ({brief})" if one.get("displayName") else brief


def _brief(device_id: object) -> str:
    return str(device_id)[:_SHOWN]


def _asks(one: Mapping[str, Any]) -> str:
    return f"{one['reason']}: {one['role']} {' '.join(_short(one['scopes']))}".strip()


def _may(one: Mapping[str, Any]) -> str:
    return f"{', '.join(one['roles'])} ({_scopes(one)})"


def _scopes(one: Mapping[str, Any]) -> str:
    return " ".join(_short(one.get("scopes") or ())) or "no scopes"


def _short(scopes: Any) -> list[str]:
    return [str(scope).removeprefix("operator.") for scope in scopes]


def _tokens(one: Mapping[str, Any]) -> str:
    good = [token["role"] for token in one.get("tokens") or () if "revokedAtMs" not in token]
    return " ".join(good) or "none"


def _seen(one: Mapping[str, Any], now: Any) -> str:
    return relative(one.get("lastSeenAtMs"), now)
