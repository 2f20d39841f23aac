"""What the doctor knows of an installation; the defaults are those of a healthy one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFacts:
    """The file, and what lies beside it."""

    path: str = "~/.engine/engine.json"
    exists: bool = True
    symlink: str | None = None  # where it leads
    issues: tuple[str, ...] = ()  # why it cannot be used
    notes: tuple[tuple[str, str, str, bool], ...] = ()  # code, key, words, whether a warning
    newer: str | None = None  # the newer engine that wrote it
    clobbered: str | None = None  # a broken file put aside since the gateway started
    migrates: bool = False  # it loads once its older keys stand where they belong now
    good_copy: str | None = None  # a copy that loads, where the file does not
    waits_for: str | None = None  # the .env, where only variables are not set yet
    open_files: tuple[str, ...] = ()  # files others may read
    unknown_env: tuple[str, ...] = ()  # a sentence each


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFacts:
    """The state directory and the database in it."""

    path: str = "~/.engine"
    exists: bool = True
    open_to_others: bool = False
    foreign_owner: str | None = None
    synced_by: str | None = None
    sd_card: bool = False
    others: tuple[str, ...] = ()  # further homes with a config, of the same profile
    damaged: str | None = None
    schema: str | None = None  # of the file; None: there is none
    head: str | None = None  # this engine's
    free_bytes: int | None = None
    dead_owner: int | None = None  # a pid in the lock of a process that is gone
    orphans: int = 0
    newest_row: datetime | None = None
    legacy_jobs: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFacts:
    """The service of this profile; ``managed`` is false where nothing manages services."""

    managed: bool = True
    installed: bool = True
    system: bool = False
    enabled: bool = True
    running: bool = True
    failed: str | None = None
    drift: tuple[str, ...] = ()
    duplicate: str | None = None
    version: str | None = None  # that its unit was written by
    program: str = ""
    program_there: bool = True
    path: str = ""  # its PATH
    lingers: bool | None = True
    user: str = "you"
    laptop: bool = False
    external: bool = False  # ENGINE_SERVICE_REPAIR_POLICY: somebody else looks after it


class Reach(StrEnum):
    """How far a call to the gateway came."""

    OK = "ok"
    STOPPED = "stopped"
    UNREACHABLE = "unreachable"
    AUTH = "auth"
    LIMITED = "limited"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFacts:
    """The process and its port."""

    reach: Reach = Reach.OK
    why: str = ""
    fix: str = ""
    wrong_instance: str | None = None
    foreign_listener: str | None = None
    port: int = 18789
    bind: str = "loopback"
    auth: str = "token"
    has_credential: bool = True
    token_is_ref: bool = False
    both_auth: bool = False
    mode: str | None = "local"
    env_token_differs: str | None = None  # where the other one is
    pending_devices: tuple[str, ...] = ()
    stale_devices: tuple[str, ...] = ()  # let in once, and every token of theirs is revoked
    armed: bool = True
    lag: timedelta = timedelta()
    missed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFacts:
    """One agent with beats."""

    id: str
    file: str = "HEARTBEAT.md"
    file_bytes: int | None = 1
    never_open: str | None = None
    window_in_host_zone: bool = False
    beats_a_day: float = 48.0
    model: str | None = None  # None: the built-in offline agent
    model_key: bool = True  # whether its provider has the key it needs
    always_ok: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendFacts:
    """A command that agents run as their model."""

    id: str
    command: str
    in_shell: bool = True
    in_service: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFacts:
    """The scheduler and its jobs."""

    cron_enabled: bool = True
    unreadable: tuple[tuple[str, str], ...] = ()  # job id, why
    never_fire: tuple[tuple[str, str], ...] = ()  # job id, name
    bad_zone: str | None = None  # TZ of the host, if nobody knows it


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """One account of a chat channel."""

    channel: str
    account: str = "default"
    error: str | None = None  # why it does not work, by its gateway
    fix: str = ""
    auth: bool = False  # the error is about its credential
    allow_empty: bool = False
    open_dm: bool = False
    dropped: str | None = None

    @property
    def name(self) -> str:
        """`telegram`, or `telegram/work`."""
        return self.channel if self.account == "default" else f"{self.channel}/{self.account}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """Python, the shell, backups."""

    python: tuple[int, int] = (3, 13)
    moved: str | None = None  # an editable install whose folder is gone
    missing: tuple[str, ...] = ()  # packages that are required and not there
    completion: bool = True
    backups: int = 1
    sandbox: str = "off"
    docker: bool = True
    strangers: tuple[str, ...] = ()  # plugins that load though nobody allowed them
    security: tuple[tuple[str, str, str], ...] = ()  # checkId, title, way out: critical ones
    security_warnings: int = 0
    secrets: tuple[tuple[str, str], ...] = ()  # code, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One installation, looked at once."""

    now: datetime
    program: str = "engine"
    version: str = "0.1.0"
    config: ConfigFacts = field(default_factory=ConfigFacts)
    state: StateFacts = field(default_factory=StateFacts)
    service: ServiceFacts = field(default_factory=ServiceFacts)
    gateway: GatewayFacts = field(default_factory=GatewayFacts)
    schedule: ScheduleFacts = field(default_factory=ScheduleFacts)
    agents: tuple[AgentFacts, ...] | None = ()  # None: the config cannot be read
    backends: tuple[BackendFacts, ...] = ()
    channels: tuple[ChannelFacts, ...] = ()
    host: HostFacts = field(default_factory=HostFacts)
    links: tuple[Mapping[str, Any], ...] = ()  # answers of `engine why`, agent by agent
