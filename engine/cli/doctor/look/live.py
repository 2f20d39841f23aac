"""What the gateway says, in one connection; and what the config says of its port (§10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from engine.cli.ask import Line
from engine.cli.channels.commands import broken
from engine.cli.cron.doctor import all_jobs
from engine.cli.doctor.facts import ChannelFacts, GatewayFacts, Reach
from engine.cli.gateway.report import host as machine
from engine.cli.place import Place
from engine.config import fast
from engine.decisions.troubles import split_fix
from gateway import exits
from gateway.client import Client
from jobs.errors import AccessRefused, EngineError, GatewayDown
from jobs.wallclock import MILLISECOND, zone

if TYPE_CHECKING:
    from engine.config.load import Loaded

_AUTH: Final = ("auth", "fatal", "unauthorized")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The answers of one connection; empty where there was none."""

    down: EngineError | None = None
    limited: str = ""
    boot_id: str | None = None
    health: Mapping[str, Any] = field(default_factory=dict)
    cron: Mapping[str, Any] | None = None
    channels: Mapping[str, Any] = field(default_factory=dict)
    devices: Mapping[str, Any] = field(default_factory=dict)
    jobs: tuple[Mapping[str, Any], ...] = ()


def told(line: Line, *, probe: bool = False) -> Told:
    """Ask everything in one connection; a part that is refused takes nothing from the others."""
    try:
        with line.open() as client:
            limits: list[str] = []

            def ask(method: str, params: Mapping[str, Any] | None = None) -> Any:
                return _asked(client, method, params, limits)

            return Told(
                boot_id=(client.hello.get("server") or {}).get("bootId"),
                health=ask("health", {"probe": True}) or {},
                cron=ask("cron.status"),
                channels=ask("channels.status", {"probe": True} if probe else None) or {},
                devices=ask("device.pair.list") or {},
                jobs=tuple(_jobs(client)),
                limited=limits[0] if limits else "",
            )
    except EngineError as error:
        return Told(down=error)


def _asked(client: Client, method: str, params: Mapping[str, Any] | None, limits: list[str]) -> Any:
    try:
        return client.call(method, params)
    except GatewayDown:
        raise
    except EngineError as error:
        if "missing scope" in f"{error.what} {error.why}":
            limits.append(f"{method}: {error.why or error.what}")
        return None


def _jobs(client: Client) -> list[Mapping[str, Any]]:
    try:
        return all_jobs(client)
    except GatewayDown:
        raise
    except EngineError:
        return []


# -- the process and its port --------------------------------------------------------------------


def gateway(line: Line, told: Told) -> GatewayFacts:
    """Return the facts of the process."""
    place = line.place
    reach, why, fix = _reach(line, told)
    owner, scheduler = place.owner, told.health.get("scheduler") or {}
    port = owner.port if owner is not None and owner.port else place.port()[0]
    strangers = [] if owner is not None else machine.listeners(port)
    other = told.boot_id not in (None, owner.boot_id if owner is not None else None)
    credential, source = _credential(place)
    given = fast.get(place.values, "gateway.auth.token")
    mode = fast.get(place.values, "gateway.mode")
    bind = place.environ.get("ENGINE_GATEWAY_BIND") or fast.get(place.values, "gateway.bind")
    return GatewayFacts(
        reach=reach,
        why=why,
        fix=fix,
        wrong_instance=_other(place, told) if other and line.at_home else None,
        foreign_listener=_named(strangers[0]) if strangers else None,
        port=port,
        bind=bind if isinstance(bind, str) else "loopback",
        auth=_auth_mode(place),
        has_credential=credential is not None or isinstance(given, dict),
        token_is_ref=isinstance(given, dict) or (isinstance(given, str) and "${" in given),
        both_auth=_both(place),
        mode=mode if isinstance(mode, str) else None,
        env_token_differs=_shadow(place, source),
        pending_devices=tuple(
            str(one.get("requestId")) for one in told.devices.get("pending") or ()
        ),
        stale_devices=tuple(_stale(told.devices)),
        armed=bool(scheduler.get("armed", True)),
        lag=int(scheduler.get("lagMs") or 0) * MILLISECOND,
        missed=int((told.cron or {}).get("missed24h") or 0),
    )


def _reach(line: Line, told: Told) -> tuple[Reach, str, str]:
    place, down = line.place, told.down
    if down is None:
        if told.limited:
            why = f"the gateway answers, and what this command may read is limited ({told.limited})"
            return Reach.LIMITED, why, "elsewhere: use a token with operator.read"
        return Reach.OK, "", ""
    if isinstance(down, AccessRefused):
        return Reach.AUTH, f"the gateway refuses this command ({down.why or down.what})", down.fix
    owner = place.owner
    if isinstance(down, GatewayDown) and owner is None:
        ended = exits.read(place.paths.state)
        last = "" if ended is None else f" ({ended.at_local(zone(place.zone), _now())})"
        return Reach.STOPPED, f"the gateway does not run{last}", _start(place)
    if owner is not None and owner.port is None:
        why = f"the gateway is starting (pid {owner.pid}) and does not listen yet"
        return Reach.UNREACHABLE, why, f"{place.program} gateway status"
    return Reach.UNREACHABLE, f"the gateway does not answer ({down.why or down.what})", down.fix


def _stale(devices: Mapping[str, Any]) -> Iterator[str]:
    """Yield the devices that were let in and have only tokens that were revoked."""
    for one in devices.get("paired") or ():
        tokens = one.get("tokens") or ()
        if tokens and all(token.get("revokedAtMs") for token in tokens):
            name = one.get("displayName")
            yield str(one.get("deviceId")) + (f" ({name})" if name else "")


def _now() -> Any:
    from engine.clock import SystemClock

    return SystemClock().now()


def _start(place: Place) -> str:
    from engine.cli.service import find

    return f"{place.program} gateway" + ("" if find(place) is None else " start")


def _other(place: Place, told: Told) -> str | None:
    """Words for a gateway that is not the one of this home; None where nobody can tell."""
    if place.owner is None:
        return None
    return f"it started as {told.boot_id}, this home is held by {place.owner.boot_id}"


def _named(one: Mapping[str, Any]) -> str:
    if one["pid"] is None:
        return "a process of another user"
    return f"pid {one['pid']} ({one['command']})"


def _credential(place: Place) -> tuple[str | None, str]:
    for kind in ("password", "token"):
        found, source = fast.credential(place.paths, place.values, place.variables, kind)
        if found:
            return found, source
    return None, "none"


def _auth_mode(place: Place) -> str:
    mode = fast.get(place.values, "gateway.auth.mode")
    return mode if isinstance(mode, str) else "token"


def _both(place: Place) -> bool:
    if isinstance(fast.get(place.values, "gateway.auth.mode"), str):
        return False
    return all(
        fast.get(place.values, f"gateway.auth.{kind}") not in (fast.MISSING, None)
        for kind in ("token", "password")
    )


def _shadow(place: Place, source: str) -> str | None:
    """The variable of this shell, if the gateway's own token is another one."""
    if source != "env":
        return None
    hidden = {k: v for k, v in place.variables.items() if k != "ENGINE_GATEWAY_TOKEN"}
    own, where = fast.credential(place.paths, place.values, hidden, "token")
    mine = place.environ.get("ENGINE_GATEWAY_TOKEN", "").strip()
    return "ENGINE_GATEWAY_TOKEN" if mine and where != "none" and own != mine else None


# -- accounts ------------------------------------------------------------------------------------


def channels(told: Told, loaded: Loaded | None) -> tuple[ChannelFacts, ...]:
    """Return the accounts: what the gateway says of each, and whom the config lets in."""
    found = {(one.channel, one.account): one for one in _by_config(loaded)}
    for (channel, account), words in _troubled(told.channels).items():
        known = found.get((channel, account))
        found[channel, account] = ChannelFacts(
            channel=channel,
            account=account,
            allow_empty=known.allow_empty if known else False,
            open_dm=known.open_dm if known else False,
            **words,
        )
    return tuple(found.values())


def _troubled(answer: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    wrong = broken(answer)
    for channel, accounts in (answer.get("channelAccounts") or {}).items():
        for account in accounts:
            ident = str(account.get("accountId"))
            why, fix = split_fix(wrong.get(f"{channel}/{ident}", ""))
            drop = account.get("lastDrop")
            if why or drop:
                auth = str(account.get("runtime")).startswith(_AUTH) or why.startswith("auth")
                dropped = _dropped(drop) if drop else None
                told = {"error": why or None, "fix": fix, "auth": auth, "dropped": dropped}
                found[channel, ident] = told
    return found


def _dropped(drop: Any) -> str:
    if not isinstance(drop, Mapping):
        return str(drop)
    return str(drop.get("reason") or drop.get("because") or "it was not let in")


def _by_config(loaded: Loaded | None) -> Iterator[ChannelFacts]:
    if loaded is None:
        return
    from engine.config import effective

    both = (
        ("telegram", effective.telegram_accounts(loaded.config)),
        ("qqbot", effective.qq_accounts(loaded.config)),
    )
    for channel, accounts in both:
        for ident, keys in accounts.items():
            if not keys.enabled:
                continue
            allow = effective.clean(keys.allow_from or ())
            yield ChannelFacts(
                channel=channel,
                account=ident,
                allow_empty=keys.dm_policy == "allowlist" and not allow,
                open_dm=keys.dm_policy == "open",
            )
