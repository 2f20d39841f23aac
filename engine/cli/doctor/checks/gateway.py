"""`gateway.*` and `auth.*` (operations.md §10, §6.2). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.cli.doctor.catalogue import finding
from engine.cli.doctor.facts import Facts, Reach
from engine.cli.doctor.finding import Act, Finding, Repair

_OPEN: Final = "none"


def check(facts: Facts) -> Iterator[Finding]:
    """Tell whether it answers, and what would keep it from starting."""
    yield from _reached(facts)
    yield from _starts(facts)
    gateway = facts.gateway
    if gateway.env_token_differs:
        yield finding(
            "gateway.env_token_shadow",
            f"{gateway.env_token_differs} holds another token than the gateway's own",
            "unset ENGINE_GATEWAY_TOKEN",
        )
    if gateway.pending_devices:
        first = gateway.pending_devices[0]
        count = len(gateway.pending_devices)
        yield finding(
            "auth.devices_pending",
            f"{count} device{'s wait' if count > 1 else ' waits'} to be let in",
            f"{facts.program} devices approve {first}",
        )
    if gateway.stale_devices:
        named = ", ".join(gateway.stale_devices)
        first = gateway.stale_devices[0].partition(" ")[0]
        yield finding(
            "auth.device_token_stale",
            f"no token of {named} holds any more: what it comes with is refused",
            f"{facts.program} devices remove {first}",
        )


def _reached(facts: Facts) -> Iterator[Finding]:
    gateway = facts.gateway
    start = gateway.fix or f"{facts.program} gateway"
    match gateway.reach:
        case Reach.STOPPED | Reach.UNREACHABLE:
            yield finding("gateway.unreachable", gateway.why, start)
        case Reach.AUTH:
            yield finding("gateway.auth_mismatch", gateway.why, start)
        case Reach.LIMITED:
            yield finding("gateway.rpc_limited", gateway.why, start)
        case Reach.OK:
            pass
    if gateway.wrong_instance:
        yield finding(
            "gateway.wrong_instance",
            f"another gateway answers here: {gateway.wrong_instance}",
            f"{facts.program} gateway status --deep",
        )
    if gateway.foreign_listener and gateway.reach is not Reach.OK:
        yield finding(
            "gateway.port_conflict",
            f"port {gateway.port} is in use by {gateway.foreign_listener}",
            f"{facts.program} gateway --port {gateway.port + 20}",
        )


def _starts(facts: Facts) -> Iterator[Finding]:
    gateway, program = facts.gateway, facts.program
    generate = f"{program} doctor --generate-gateway-token"
    if not facts.config.exists or facts.config.issues:
        return  # that is told, and everything else would be a guess
    if gateway.mode is None:
        yield finding(
            "gateway.mode_missing",
            "gateway.mode is not set: the gateway refuses to start",
            f"{program} config set gateway.mode local",
            repair=Repair(act=Act.SET_KEY, subject="gateway.mode", value="local"),
        )
    if gateway.both_auth:
        yield finding(
            "gateway.both_auth",
            "gateway.auth has a token and a password, and no mode says which is asked for",
            f"{program} config set gateway.auth.mode token",
            repair=Repair(act=Act.SET_KEY, subject="gateway.auth.mode", value="token"),
        )
    if gateway.bind != "loopback" and (gateway.auth == _OPEN or not gateway.has_credential):
        yield finding(
            "gateway.bind_no_auth",
            f"the gateway would refuse to bind to {gateway.bind} without auth",
            generate,
            repair=Repair(act=Act.GENERATE_TOKEN),
        )
    elif gateway.auth == "token" and not gateway.has_credential:
        yield finding(
            "gateway.token_missing",
            "there is no gateway token yet: commands of this machine could not call it",
            generate,
            repair=Repair(act=Act.GENERATE_TOKEN),
        )
