"""Everything a check may look at, read once before any of them judges. Pure.

What is secret stands here in the clear, because its length and its words are judged; no finding
may repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from engine.config.keypath import parse_path

_LOOPBACK: Final = frozenset({"loopback", "auto"})
_OWN: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Kept(StrEnum):
    """What a file of a home is; the word stands in its checkIds."""

    STATE_DIR = "state_dir"
    CONFIG = "config"
    INCLUDE = "config_include"
    ENV_FILE = "env_file"
    DB = "db"
    LOG_FILE = "log_file"
    BACKUP = "backup"
    CREDENTIAL = "credential"  # gateway.token, device.key


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFact:
    """A file or folder of the home: who may read and write it."""

    what: Kept
    path: str
    mode: int  # permission bits
    symlink: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFact:
    """The file or program behind a provider of secrets."""

    alias: str
    source: str  # file | exec
    path: str
    mode: int
    foreign: bool = False  # it belongs to neither us nor root
    folder_open: bool = False  # anyone may put another file in its place


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFact:
    """A job of the scheduler, as far as it may be somebody else's."""

    id: str
    name: str
    enabled: bool = True
    gap: timedelta | None = None  # shortest time between two slots
    asks_model: bool = True
    webhook: str | None = None  # where its words are posted
    by_agent: bool = False  # an agent made it, in a turn
    session_key: str | None = None  # the conversation that turn belonged to
    external: bool = False  # that turn answered words from outside
    confirmed: bool = False  # the operator has changed or confirmed it since


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What came of asking the gateway that runs (`--deep`)."""

    ok: bool
    detail: str = ""
    credential_unresolved: bool = False  # its token is a reference this command could not follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One installation, looked at once."""

    values: Mapping[str, Any] = field(default_factory=dict)  # the config, `${NAME}` filled in
    authored: Mapping[str, Any] = field(default_factory=dict)  # the same as it is written
    bind: str = "loopback"
    token: str | None = None  # None: unknown, or none
    password: str | None = None
    hooks_token: str | None = None
    files: tuple[FileFact, ...] = ()
    providers: tuple[ProviderFact, ...] = ()
    jobs: tuple[JobFact, ...] = ()
    plugins: tuple[str, ...] = ()  # channels and agents of other packages that are loaded
    probe: Probe | None = None  # None: not asked
    state: str = ""  # path of the home
    secret_diagnostics: tuple[str, ...] = ()

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path, or ``default``."""
        found = below(self.values, path)
        return default if found is None else found

    def text(self, path: str) -> str:
        """The text at a dotted path; '' for anything else."""
        found = below(self.values, path)
        return found.strip() if isinstance(found, str) else ""

    def texts(self, path: str) -> tuple[str, ...]:
        """The texts of a list at a dotted path."""
        found = below(self.values, path)
        return tuple(str(one) for one in found) if isinstance(found, list | tuple) else ()

    def on(self, path: str, *, default: bool = False) -> bool:
        """Whether a switch is on."""
        found = below(self.values, path)
        return found if isinstance(found, bool) else default

    @property
    def exposed(self) -> bool:
        """Whether anybody beyond this machine can reach the port."""
        if self.bind == "custom":
            return self.text("gateway.customBindHost") not in _OWN
        tailscale = self.text("gateway.tailscale.mode")
        return self.bind not in _LOOPBACK or tailscale in ("serve", "funnel")

    @property
    def auth_mode(self) -> str:
        """The mode named, or what follows from what is there (operations.md §6.1)."""
        named = self.text("gateway.auth.mode")
        if named:
            return named
        if isinstance(self.get("gateway.auth.trustedProxy"), Mapping):
            return "trusted-proxy"
        return "password" if self.password and not self.get("gateway.auth.token") else "token"

    @property
    def open_door(self) -> bool:
        """Whether somebody may connect who shows nothing."""
        mode = self.auth_mode
        if mode == "password":
            return not self.password and not self.get("gateway.auth.password")
        return mode == "none"

    def accounts(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every account of every chat channel that is on, with what its channel says for it."""
        channels = self.get("channels", {})
        for name, section in channels.items() if isinstance(channels, Mapping) else ():
            if name in ("defaults", "local", "webhook", "apprise") or not isinstance(
                section, Mapping
            ):
                continue
            if section.get("enabled") is False:
                continue
            shared = {k: v for k, v in section.items() if k != "accounts"}
            accounts = section.get("accounts")
            if not isinstance(accounts, Mapping) or not accounts:
                yield f"channels.{name}", shared
                continue
            for ident, own in accounts.items():
                if isinstance(own, Mapping) and own.get("enabled") is not False:
                    yield f"channels.{name}.accounts.{ident}", {**shared, **own}

    def agents(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every agent of the list, with its path."""
        listed = self.get("agents.list", ())
        for n, agent in enumerate(listed if isinstance(listed, list | tuple) else ()):
            if isinstance(agent, Mapping):
                yield f"agents.list[id={agent.get('id', n)}]", agent


def below(values: Any, path: str) -> Any:
    """The value at a dotted path; None when there is none."""
    here = values
    for part in parse_path(path):
        if not isinstance(part, str) or not isinstance(here, Mapping):
            return None
        here = here.get(part)
    return here
