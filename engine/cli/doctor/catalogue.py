"""Every id of `engine doctor`, with how bad it is (operations.md §10). The list is closed. Pure.

`<c>` stands for a channel; ids of `security.`, `secrets.` and `delivery.` carry the word of
whoever found it.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from engine.cli.doctor.finding import Finding, Repair, Severity
from jobs.errors import UsageError

_E, _W, _I = Severity.ERROR, Severity.WARN, Severity.INFO

CATALOGUE: Final[Mapping[str, Severity]] = {
    "config.missing": _E, "config.invalid": _E, "config.legacy": _W, "config.restored": _W,
    "config.perms": _W, "config.symlink": _W, "config.written_by_newer": _E,
    "config.unknown_env": _I, "config.inert": _I, "config.note": _W,
    "state.missing": _E, "state.perms": _W, "state.synced_dir": _W, "state.sd_card": _W,
    "state.two_dirs": _W, "state.db_integrity": _E, "state.db_schema": _E, "state.disk_low": _E,
    "state.stale_lock": _W, "state.orphan_runs": _W,
    "service.not_installed": _W, "service.stopped": _E, "service.failed": _E,
    "service.drift": _W, "service.duplicate": _E, "service.old_binary": _W, "service.path": _E,
    "service.linger": _E, "service.sleep": _I,
    "gateway.unreachable": _E, "gateway.auth_mismatch": _E, "gateway.rpc_limited": _E,
    "gateway.wrong_instance": _E, "gateway.port_conflict": _E, "gateway.bind_no_auth": _E,
    "gateway.mode_missing": _E, "gateway.token_missing": _E, "gateway.both_auth": _E,
    "gateway.env_token_shadow": _W,
    "auth.devices_pending": _W, "auth.device_token_stale": _W,
    "scheduler.disabled": _W, "scheduler.not_armed": _E, "scheduler.lag": _W,
    "scheduler.missed_runs": _W, "scheduler.clock_skew": _W, "scheduler.tz_invalid": _E,
    "cron.job_invalid": _W, "cron.job_never_fires": _W, "cron.job_no_target": _W,
    "cron.store_legacy": _W,
    "heartbeat.none_enabled": _W, "heartbeat.off": _W, "heartbeat.held": _W,
    "heartbeat.target_none": _W, "heartbeat.target_unresolved": _E,
    "heartbeat.account_ambiguous": _W, "channels.default_account_missing": _W,
    "heartbeat.direct_blocked": _W, "heartbeat.alerts_off": _W,
    "heartbeat.file_empty": _W, "heartbeat.file_missing": _W, "heartbeat.file_large": _W,
    "heartbeat.window_never_open": _E, "heartbeat.window_tz": _I, "heartbeat.fanout_cost": _I,
    "heartbeat.always_ok": _I, "heartbeat.ack_swallows_text": _W,
    "channels.<c>.auth": _E, "channels.<c>.offline": _E, "channels.<c>.allow_empty": _W,
    "channels.<c>.open_dm": _W, "channels.<c>.drop_recent": _W,
    "runner.key_missing": _E, "runner.cooldown": _E, "runner.failing": _E, "runner.offline": _W,
    "runner.cli_missing": _E, "runner.model_unknown": _E, "runner.service_path": _E,
    "delivery.*": _E, "secrets.*": _E, "security.*": _W, "security.warnings": _I,
    "plugins.allow_empty": _W, "plugins.broken": _W,
    "python.version": _E, "python.venv": _W, "python.deps": _E,
    "completion.missing": _I, "backup.none": _I,
    "sandbox.docker_missing": _W,
}  # fmt: skip


def general(ident: str) -> str:
    """Return the entry an id belongs to: `channels.<c>.auth` for `channels.telegram.auth`."""
    if ident in CATALOGUE:
        return ident
    head, _, tail = ident.partition(".")
    if head == "channels" and "." in tail:
        return f"channels.<c>.{tail.rpartition('.')[2]}"
    return f"{head}.*"


def finding(
    ident: str,
    what: str,
    fix: str,
    *,
    agents: tuple[str, ...] = (),
    severity: Severity | None = None,
    repair: Repair | None = None,
) -> Finding:
    """Return a finding, as bad as the catalogue has it unless it is said otherwise."""
    how = severity or CATALOGUE[general(ident)]
    return Finding(severity=how, id=ident, what=what, fix=fix, agents=agents, repair=repair)


def chosen(ident: str, only: tuple[str, ...], skip: tuple[str, ...]) -> bool:
    """Whether an id is asked for; a group stands for all of its ids."""
    return (not only or _among(ident, only)) and not _among(ident, skip)


def _among(ident: str, names: tuple[str, ...]) -> bool:
    general_name = general(ident)
    return any(
        name in (ident, general_name) or ident.startswith(f"{name.removesuffix('*').rstrip('.')}.")
        for name in names
    )


def refuse_unknown(names: tuple[str, ...]) -> None:
    """A name that means nothing would silently check nothing."""
    groups = {ident.partition(".")[0] for ident in CATALOGUE}
    for name in names:
        known = general(name) in CATALOGUE or name.removesuffix("*").rstrip(".") in groups
        if not known:
            near = get_close_matches(name, [*CATALOGUE, *groups], 1)
            raise UsageError(
                f'"{name}" is no check of the doctor',
                why=f"did you mean {near[0]}?" if near else "",
                fix=f"engine doctor --only {near[0] if near else 'config'}",
            )
