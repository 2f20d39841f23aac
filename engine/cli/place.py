"""Where the command line looks: places, the gateway's address, credential (operations.md §14.4).

Nothing here imports pydantic: every command pays for what this module needs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from engine.config import fast
from engine.config.masks import is_marker
from engine.config.paths import Paths, host_zone, refuse_no_folder, resolve
from engine.config.variables import expand
from gateway import lock
from gateway.protocol.address import host_of, is_loopback
from jobs.errors import EngineError, UsageError

_ANY_HOST: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, never bound
_IN_FILE: Final = frozenset({"config", "file"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the gateway is, and which layer says so."""

    url: str
    source: str  # --url | env | --port | lock | remote | config | default

    @property
    def loopback(self) -> bool:
        """Whether it is this machine, by its own name."""
        return is_loopback(host_of(self.url))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is sent, where it was found, and what to try once more if it is refused."""

    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    source: str = "none"  # option | env | config | file | none
    spare: Credentials | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """One home as this command sees it."""

    paths: Paths
    environ: Mapping[str, str]
    platform: str = sys.platform
    said: set[str] = field(default_factory=set)  # notes of this command: each is said once
    mute: dict[str, EngineError] = field(default_factory=dict)  # by address: who did not greet it

    @cached_property
    def values(self) -> dict[str, Any]:
        """The config file as plain values; empty when it cannot be read."""
        return fast.read(self.paths.config)

    @cached_property
    def owner(self) -> lock.Owner | None:
        """The gateway that runs on this home, or nobody."""
        return lock.read(self.paths.state)

    @property
    def zone(self) -> str:
        """The host's zone, in which times are shown."""
        return host_zone(self.environ)

    @property
    def job_zone(self) -> str:
        """The zone of a schedule that names none, as far as the file here says (cron.md §3.1)."""
        for path in ("cron.tz", "agents.defaults.userTimezone"):
            given = fast.get(self.values, path)
            if isinstance(given, str) and given.strip():
                return expand(given, self.variables)
        return self.zone

    @property
    def program(self) -> str:
        """How to call this program again for the same home."""
        name = self.paths.profile
        return "engine" if name == "default" else f"engine --profile {name}"

    def port(self) -> tuple[int, str]:
        """The port the config asks for, and which layer says so."""
        return fast.port(self.paths, self.values, self.environ)

    def address(self, *, url: str | None = None, port: int | None = None) -> Address:
        """Where to call: option, environment, port, lock, config (operations.md §14.4)."""
        if url:
            return Address(url=url, source="--url")
        if given := self.environ.get("ENGINE_GATEWAY_URL", "").strip():
            return Address(url=given, source="env")
        if port is not None:
            return Address(url=f"ws://127.0.0.1:{port}", source="--port")
        if self.owner is not None and self.owner.port is not None:
            return Address(url=_dialable(self.owner), source="lock")
        remote = fast.get(self.values, "gateway.remote.url")
        if fast.get(self.values, "gateway.mode") == "remote" and isinstance(remote, str):
            return Address(url=expand(remote, self.variables), source="remote")
        number, source = self.port()
        return Address(url=f"ws://127.0.0.1:{number}", source=source)

    def credentials(
        self, address: Address, *, token: str | None = None, password: str | None = None
    ) -> Credentials:
        """What to send there. An address given by hand gets nothing that was not given by hand."""
        for name, value in (("--token", token), ("--password", password)):
            _refuse_marker(value, name)
        if token or password:
            return Credentials(token=token, password=password, source="option")
        if address.source == "--url":
            return Credentials()
        # An address from the environment may be anywhere: it gets what came the same way.
        stranger = address.source == "env" and not address.loopback
        env = self._found(self.environ, {"env"})
        known = Credentials() if stranger else self._found(self._without_env(), _IN_FILE)
        if env.source == "none":
            return known
        differs = known.source != "none" and known.token != env.token
        return Credentials(
            token=env.token,
            password=env.password,
            source="env",
            spare=known if differs and address.loopback else None,
        )

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The environment and the operator's `.env`; that file only if the config needs it."""
        told = repr(self.values)
        asks = "${" in told or "'source'" in told
        if not asks or not self.paths.env_file.is_file():
            return self.environ
        from engine.config.load import environment

        return environment(self.environ, state=self.paths.state)[0]

    def _without_env(self) -> Mapping[str, str]:
        own = ("ENGINE_GATEWAY_TOKEN", "ENGINE_GATEWAY_PASSWORD")
        return {k: v for k, v in self.variables.items() if k not in own}

    def _found(self, environ: Mapping[str, str], where: set[str] | frozenset[str]) -> Credentials:
        found: dict[str, str] = {}
        origin = "none"
        for kind in ("password", "token"):
            value, source = fast.credential(self.paths, self.values, environ, kind)
            if value is not None and source in where:
                _refuse_marker(value, f"the {kind} in the {source}")
                found[kind], origin = value, source
        return Credentials(token=found.get("token"), password=found.get("password"), source=origin)


def place(
    *, profile: str | None = None, dev: bool = False, environ: Mapping[str, str] | None = None
) -> Place:
    """The place of this command; a bad profile is a `UsageError`, a home must be a folder."""
    env = dict(os.environ) if environ is None else environ
    paths = resolve(env, profile=profile, dev=dev)
    refuse_no_folder(paths)
    return Place(paths=paths, environ=env)


def shown(path: Path, paths: Paths) -> str:
    """A path as people write it: `~` for the home directory."""
    inside = path.is_relative_to(paths.os_home)
    return f"~/{path.relative_to(paths.os_home)}" if inside else str(path)


def _dialable(owner: lock.Owner) -> str:
    # Every bind listens on 127.0.0.1 too (operations.md §6.1).
    if owner.host in _ANY_HOST:
        return f"ws://127.0.0.1:{owner.port}"
    return owner.url


def _refuse_marker(value: str | None, where: str) -> None:
    """What a hidden secret prints as is no secret (operations.md §16 L5)."""
    text = (value or "").strip()
    if is_marker(text):
        raise UsageError(
            f"{where} was not sent",
            why=f'"{text}" is what a hidden secret prints as, not a secret',
            fix="leave it out: on this machine the token is found by itself",
        )
