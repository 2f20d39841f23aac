"""What flags, environment and config say to the process: options in, values out.

operations.md §6.1 (resolution), §6.2 (refusals); channels.md §2 (accounts).
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from engine.clock import SystemClock
from engine.config import jobs
from engine.config.load import Loaded, load
from engine.config.paths import Paths, host_zone
from engine.config.schema import Config
from gateway.protocol.handshake import TIMEOUT
from jobs.errors import ConfigInvalid, OwnershipRefused
from jobs.store.db import Database
from jobs.wallclock import MILLISECOND

log = logging.getLogger(__name__)

_LOOPBACK: Final = ("127.0.0.1", "::1")
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - only with auth: `refuse_open`


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line says to `engine gateway`."""

    paths: Paths
    port: int | None = None
    bind: str | None = None
    token: str | None = None
    verbose: bool = False
    allow_unconfigured: bool = False


def load_config(
    paths: Paths,
    environ: Mapping[str, str],
    *,
    jobs_may_wait: bool = False,
    raw: bytes | None = None,
) -> Loaded:
    """The config with its secrets, and its jobs judged as the scheduler will.

    At a start ``jobs_may_wait``: a broken file of `cron.jobsDir` keeps nothing else from
    running, and the jobs applied last go on (cron.md §13).
    """

    def judged(config: Config) -> list[tuple[tuple[str | int, ...], str]]:
        return [*jobs.judge(config, SystemClock().now(), host_zone(environ), paths.config.parent)]

    return load(
        paths.config,
        environ,
        state=paths.state,
        raw=raw,
        resolve_secrets=True,
        jobs_check=judged,
        jobs_may_wait=jobs_may_wait,
        credentials=True,
    )


def tell(loaded: Loaded, before: Loaded | None = None) -> None:
    """Log what is worth knowing about a config: a warning each, one line for keys in vain.

    After an edit only what ``before`` did not have is told.
    """
    known = {(note.code, note.path) for note in before.notes} if before is not None else set()
    notes = [note for note in loaded.notes if (note.code, note.path) not in known]
    for note in notes:
        if note.level == "warning":
            log.warning(note.message, extra={"path": note.path})
    inert = [note.path for note in notes if note.code.startswith("config.inert")]
    if inert:
        log.info("keys without effect: engine config validate", extra={"keys": ", ".join(inert)})


def refuse_unready(config: Config, options: RunOptions) -> None:
    """A gateway starts only where somebody said it shall (operations.md)."""
    if config.gateway.mode == "local" or options.allow_unconfigured:
        return
    raise ConfigInvalid(
        "Gateway start blocked: set gateway.mode=local (engine config set gateway.mode local)",
        why=f"gateway.mode is {config.gateway.mode or 'not set'}",
        fix="engine setup, or: engine gateway --allow-unconfigured",
    )


def port(options: RunOptions, config: Config, environ: Mapping[str, str]) -> tuple[int, str]:
    """The port, and who named it: the call, the environment, the config, the default."""
    if options.port is not None:
        return options.port, "service args"
    from_env = environ.get("ENGINE_GATEWAY_PORT", "").strip()
    if from_env:
        if not from_env.isdecimal() or int(from_env) > 65_535:
            raise ConfigInvalid(
                "the gateway was not started",
                why=f"ENGINE_GATEWAY_PORT is {from_env!r}, which is no port",
                fix="unset ENGINE_GATEWAY_PORT, or set it to a number up to 65535",
            )
        return int(from_env), "env"
    if config.gateway.port is not None:
        return config.gateway.port, "config"
    return options.paths.default_port, "default"


def bind_wish(options: RunOptions, config: Config, environ: Mapping[str, str]) -> str:
    """Which addresses are asked for: by the call, the environment, the config."""
    return options.bind or environ.get("ENGINE_GATEWAY_BIND") or config.gateway.bind


def hosts(options: RunOptions, config: Config, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses listened on; anything beyond loopback also listens on 127.0.0.1."""
    wish = bind_wish(options, config, environ)
    match wish:
        case "loopback" | "auto":
            return _LOOPBACK
        case "lan":
            return _ANY
        case "custom" if config.gateway.custom_bind_host:
            host = config.gateway.custom_bind_host
            return (host,) if host in _LOOPBACK else ("127.0.0.1", host)
        case _:
            raise OwnershipRefused(
                f"the gateway was not bound to {wish!r}",
                why="this release binds loopback, lan or custom (with gateway.customBindHost)",
                fix="engine config set gateway.bind loopback",
            )


def token(options: RunOptions, config: Config, environ: Mapping[str, str]) -> str:
    """The shared token: option, environment, config, file; made at the first start."""
    given = options.token or environ.get("ENGINE_GATEWAY_TOKEN", "").strip()
    if given:
        return given
    if config.gateway.auth.token:
        return config.gateway.auth.token.reveal()
    return _token_of(options.paths.token_file)


def _token_of(path: Path) -> str:
    """The token in a file that only its owner may read; a missing or empty file gets a new one."""
    try:
        if path.exists() and (known := path.read_text("utf-8").strip()):
            if path.stat().st_mode & 0o077:
                log.warning("the token file was open to others; now it is not", extra=_at(path))
                path.chmod(0o600)
            return known
        made = secrets.token_hex(32)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            os.fchmod(out.fileno(), 0o600)
            out.write(made + "\n")
        return made
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(
            f"the gateway's token cannot be read from {path}",
            why=_reason_of(error),
            fix="make it a file this user may read and write, or set gateway.auth.token",
        ) from error


def _at(path: Path) -> dict[str, str]:
    return {"path": str(path)}


def _reason_of(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is not UTF-8 text"


def handshake_timeout(config: Config, environ: Mapping[str, str]) -> timedelta:
    """How long a client may take to say hello: environment, config, the protocol (§6)."""
    given = environ.get("ENGINE_HANDSHAKE_TIMEOUT_MS", "").strip()
    wish = int(given) if given.isdecimal() else config.gateway.handshake_timeout_ms
    return wish * MILLISECOND if wish else TIMEOUT


async def open_database(config: Config, paths: Paths) -> Database:
    """The store the config names, else the file in the home."""
    url = config.store.url.reveal() if config.store.url else None
    return await Database.open(url or paths.database)
