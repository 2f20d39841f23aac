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

from engine.backup.packing import kept
from engine.clock import SystemClock
from engine.config import jobs
from engine.config.load import Loaded, load
from engine.config.paths import Paths, host_zone
from engine.config.schema import Config
from engine.log.files import Place, placed
from engine.log.setup import Wish
from gateway import binding
from gateway.auth.configured import Shared
from gateway.binding import Binding
from gateway.protocol.handshake import TIMEOUT
from jobs.errors import ConfigInvalid, StoreTooNew, StoreUnusable
from jobs.store.db import Database
from jobs.wallclock import MILLISECOND

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the command line says to `engine gateway`."""

    paths: Paths
    port: int | None = None
    bind: str | None = None
    token: str | None = None
    password: str | None = None
    verbose: bool = False
    allow_unconfigured: bool = False
    ws_log: str = "auto"  # | compact | full
    once: bool = False  # run what is due, then end
    no_channels: bool = False
    no_scheduler: bool = False
    notes: tuple[str, ...] = ()  # what was done before, for the log


def load_config(
    paths: Paths,
    environ: Mapping[str, str],
    *,
    jobs_may_wait: bool = False,
    raw: bytes | None = None,
    texts: Mapping[Path, bytes] | None = None,
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
        cwd=Path.cwd(),
        raw=raw,
        texts=texts,
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


def log_wish(paths: Paths, config: Config, *, verbose: bool) -> Wish:
    """What is asked of the log (operations.md §11)."""
    asked = config.logging
    return Wish(
        place=Place(
            folder=paths.logs,
            file=placed(paths.logs, asked.file, paths.os_home),
            most_bytes=asked.max_file_bytes,
            keep=timedelta(days=asked.retention_days),
        ),
        level=asked.level,
        console_level=asked.console_level,
        console_style=asked.console_style,
        patterns=asked.redact_patterns,
        hide_shapes=asked.redact_sensitive != "off",
        verbose=verbose,
    )


def refuse_unready(config: Config, options: RunOptions) -> None:
    """A gateway starts only where somebody said it shall (operations.md)."""
    if config.gateway.mode == "local" or options.allow_unconfigured:
        return
    raise ConfigInvalid(
        "Gateway start blocked: set gateway.mode=local (engine config set gateway.mode local)",
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


def bind(options: RunOptions, config: Config, environ: Mapping[str, str]) -> Binding:
    """Addresses listened on, and who asked for them: the call, the environment, the config."""
    given = environ.get("ENGINE_GATEWAY_BIND", "").strip()
    layers = (
        (options.bind, "service args"),
        (given, "env"),
        (config.gateway.bind, "config" if "bind" in config.gateway.model_fields_set else "default"),
    )
    mode, source = next((mode, source) for mode, source in layers if mode)
    wish = binding.Wish(mode=mode, source=source, custom_host=config.gateway.custom_bind_host)
    secured = _secured(options, config, environ)
    return binding.decided(wish, binding.seen(environ), secured=secured)


def _secured(options: RunOptions, config: Config, environ: Mapping[str, str]) -> bool:
    """Whether who comes from elsewhere has to show something that only some know."""
    auth = config.gateway.auth
    if auth.mode == "none":
        return False
    if auth.mode == "trusted-proxy" or auth.trusted_proxy is not None:
        return True
    return bool(
        given_token(options, config, environ)
        or given_password(options, config, environ)
        or _kept_token(options.paths.token_file)
    )


def given_token(options: RunOptions, config: Config, environ: Mapping[str, str]) -> str | None:
    """The shared token as somebody gave it: option, environment, config."""
    configured = config.gateway.auth.token
    given = options.token or environ.get("ENGINE_GATEWAY_TOKEN", "").strip()
    return given or (configured.known if configured else None) or None


def given_password(options: RunOptions, config: Config, environ: Mapping[str, str]) -> str | None:
    """The shared password: option, environment, config."""
    configured = config.gateway.auth.password
    given = options.password or environ.get("ENGINE_GATEWAY_PASSWORD", "").strip()
    return given or (configured.known if configured else None) or None


def token(options: RunOptions, config: Config, environ: Mapping[str, str]) -> str:
    """The shared token: option, environment, config, file.

    The file is made at the first start, but only where nobody else can reach the gateway:
    beyond this machine a secret nobody has seen is none, and "" is returned.
    """
    given = given_token(options, config, environ)
    if given:
        return given
    file = options.paths.token_file
    if bind(options, config, environ).open and not file.exists():
        return ""
    return _token_of(file)


def shared(options: RunOptions, config: Config, environ: Mapping[str, str]) -> Shared:
    """Every secret by which a client may come in."""
    return Shared(
        token=token(options, config, environ),
        password=given_password(options, config, environ),
        named=given_token(options, config, environ) is not None,
    )


def _kept_token(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""  # `_token_of` says what is wrong with it


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
    """The store the config names, else the file in the home.

    Of a file nobody can read, the newest backup is named that would take its place (§6.2).
    """
    url = config.store.url.reveal() if config.store.url else None
    try:
        return await Database.open(url or paths.database)
    except (StoreUnusable, StoreTooNew) as error:
        saved = max(kept(paths), default=None) if url is None else None
        if saved is None:
            raise
        fix = f"{error.fix}; or go back to the newest backup: engine backup restore {saved} --force"
        raise type(error)(error.what, why=error.why, fix=fix, **error.detail) from error
