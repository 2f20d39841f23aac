"""What the RPC room needs beside the scheduler: config, tools, accounts, logs (protocol.md §10).

Promises, kept by `gateway.front` and by test fakes, as those of `gateway.rpc.core`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from gateway.restarts import Wanted

Answer = Mapping[str, Any]


class ConfigDesk(Protocol):
    """The config file, written all or nothing (§10.7)."""

    def file(self) -> Answer:
        """`config.get` with secrets in the clear: ``{path, exists, raw, parsed, config, valid,
        issues, warnings, hash}``. The handler masks."""

    def write_limit(self) -> tuple[int, timedelta]:
        """How many writes a client may make, and within what."""

    async def replace(
        self, raw: str, *, base_hash: str | None, wanted: Wanted | None = None
    ) -> Answer:
        """`config.set`, `config.apply`: ``{ok, path, config, hash, noop?, pendingRestart,
        sentence}``."""

    async def patch(
        self,
        raw: str,
        *,
        base_hash: str | None,
        replace_paths: Sequence[str] = (),
        wanted: Wanted | None = None,
    ) -> Answer:
        """`config.patch`: a JSON merge patch."""

    async def reload(self, by: str) -> Answer:
        """`config.reload`: ``{ok, hash, sentence, changed, class, pendingRestart}``."""

    def schema(self) -> Answer:
        """`config.schema`."""

    def lookup(self, path: str) -> Answer | None:
        """`config.schema.lookup`; None for a path that is none."""

    async def reload_secrets(self) -> int:
        """`secrets.reload`: read them again; how many warnings that made."""

    async def add_agent(self, facts: Mapping[str, Any]) -> Answer:
        """`agents.create`."""

    async def change_agent(self, agent_id: str, facts: Mapping[str, Any]) -> Answer:
        """`agents.update`."""

    async def remove_agent(self, agent_id: str) -> Answer:
        """`agents.delete`."""


class Tools(Protocol):
    """What agents may use (§10.4)."""

    def catalog(self, agent_id: str) -> Sequence[Answer]:
        """Every tool: ``{name, description, parameters, sideEffects}``, and why it is withheld."""

    async def invoke(
        self, name: str, arguments: Mapping[str, Any], *, agent_id: str, session_key: str, by: str
    ) -> Answer:
        """Use one: ``{ok, toolName, output?, error?}``."""


class Switchboard(Protocol):
    """Channels that are started and stopped by hand (§10.5)."""

    async def start(self, channel: str, account_id: str | None) -> Answer:
        """`channels.start`; a stranger raises `NotFound`."""

    async def stop(self, channel: str, account_id: str | None) -> Answer:
        """`channels.stop`."""


class Figures(Protocol):
    """Counted since the start of the process (operations.md §13.7)."""

    def counted(self) -> Answer:
        """``{lag: {buckets: [(edge, cumulative)], sum}, ends: {state: n}, turns: {…}}``."""


class Suspending(Protocol):
    """The gateway held for a moment (§10.1)."""

    async def prepare(self, request_id: str, *, drain: bool, by: str) -> Answer:
        """`gateway.suspend.prepare`: ready, draining, or busy with what is in the way."""

    @property
    def phase(self) -> str:
        """`running`, `draining` or `suspended`: the payload of `gateway.suspension`."""

    def status(self, suspension_id: str | None = None) -> Answer:
        """`gateway.suspend.status`."""

    async def resume(self, suspension_id: str, *, by: str) -> Answer:
        """`gateway.suspend.resume`."""


class Host(Protocol):
    """The process itself (§10.1)."""

    async def tail(self, cursor: int | None, *, limit: int, most: int, mark: int | None) -> Answer:
        """`logs.tail`."""

    async def activity(self) -> Answer:
        """What would be interrupted now: the counts of `gateway.restart.preflight`."""

    def own_identity(self) -> Answer:
        """`gateway.identity.get`: ``{deviceId, publicKey}``."""

    def identity(self, agent_id: str) -> Answer:
        """`agent.identity.get`."""

    async def restart(self, wanted: Wanted) -> Answer:
        """Drain, and start anew in the same process; refused where nothing would start."""
