"""The config file as clients write it (protocol.md §10.7): validated, guarded, put in force."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import cache, partial
from typing import Any, Final

from engine import __version__
from engine.clock import Clock
from engine.config import effective, lastgood
from engine.config.compose import digest
from engine.config.docs import describe
from engine.config.edit import set_text, unset_text
from engine.config.json5 import Json5Error, parse
from engine.config.keeping.outcome import Outcome
from engine.config.load import Loaded
from engine.config.masks import is_secret
from engine.config.merging import merged, restored
from engine.config.paths import Paths
from engine.config.reload import Class
from engine.config.schema import Config
from engine.config.writing import Edit, Written, write
from gateway.restarts import Wanted
from jobs.errors import Conflict, EngineError, InvalidInput, NotFound
from jobs.wallclock import MILLISECOND, ms

RPC: Final = "rpc"  # who did it, where nobody said more
_FACTS: Final[Mapping[str, str]] = {  # of an agent, where the config keeps it
    "name": "name",
    "workspace": "workspace",
    "model": "model",
    "emoji": "identity.emoji",
    "avatar": "identity.avatar",
}


class FrontSettings:
    """Keeps the promises of `gateway.rpc.core_admin.ConfigDesk`."""

    def __init__(
        self,
        paths: Paths,
        *,
        clock: Clock,
        loaded: Callable[[], Loaded],
        check: Callable[[bytes], Loaded],
        reload: Callable[[str, Wanted | None], Awaitable[Outcome]],
        state: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._path = paths.config
        self._clock = clock
        self._loaded = loaded
        self._check = check
        self._reload = reload
        self._state = state
        self._writing = asyncio.Lock()  # two clients at once: one after the other

    def file(self) -> dict[str, Any]:
        """`config.get`: what is in force; of a file that says something else, its hash and why.

        Without that hash nobody could write a file again that was refused, or that no reload
        has taken up.
        """
        loaded = self._loaded()
        parsed = loaded.root.plain() if loaded.root is not None else {}
        told: dict[str, Any] = {
            **self._state(),
            "lastGoodHash": lastgood.fingerprint(self._path),
            "path": str(loaded.path),
            "exists": loaded.exists,
            "raw": loaded.text,
            "parsed": parsed,
            "config": parsed,
            "valid": True,
            "issues": [],
            "warnings": [f"{note.path}: {note.message}" for note in loaded.notes],
            "hash": loaded.hash,
        }
        try:
            raw = self._path.read_bytes()
        except OSError:
            return told
        if digest(raw) == loaded.hash:
            return told
        text = raw.decode("utf-8", "replace")
        parsed = _plain(text)
        # What cannot be parsed cannot be masked either: it is not shown.
        there = {"exists": True, "raw": text if parsed else None, "parsed": parsed}
        return {**told, **there, "hash": digest(raw), **self._judged(raw)}

    def _judged(self, raw: bytes) -> dict[str, Any]:
        try:
            self._check(raw)
        except EngineError as refusal:
            found = refusal.detail.get("issues")
            issues = found if isinstance(found, list) else [{"path": "", "message": str(refusal)}]
            return {"valid": False, "issues": issues}
        return {"warnings": ["the file is valid, and not in force yet"]}

    def write_limit(self) -> tuple[int, timedelta]:
        """`gateway.controlPlane.writeLimit`."""
        limit = self._loaded().config.gateway.control_plane.write_limit
        return limit.max, limit.window_ms * MILLISECOND

    async def replace(
        self, raw: str, *, base_hash: str | None, wanted: Wanted | None = None
    ) -> dict[str, Any]:
        """The whole file; masked secrets come back restored."""
        return await self._written(lambda old: restored(raw, _plain(old)), base_hash, wanted)

    async def patch(
        self,
        raw: str,
        *,
        base_hash: str | None,
        replace_paths: Sequence[str] = (),
        wanted: Wanted | None = None,
    ) -> dict[str, Any]:
        """A JSON merge patch."""
        wish = json.loads(raw)
        whole = list(replace_paths)
        return await self._written(lambda old: merged(old, wish, whole=whole), base_hash, wanted)

    async def reload(self, by: str) -> dict[str, Any]:
        """Read the file now, without waiting for it to be quiet: what became of it."""
        done = await self._reload(by, None)
        return {
            "ok": True,
            "hash": done.hash,
            "sentence": done.sentence,
            "changed": list(done.changed),
            "class": done.kind.value,
            "pendingRestart": list(done.pending),
        }

    async def reload_secrets(self) -> int:
        """Read the config and its secrets again, the same as an edit of the file would."""
        await self._reload(RPC, None)
        return sum(note.level == "warning" for note in self._loaded().notes)

    async def _written(
        self, edit: Edit, base_hash: str | None, wanted: Wanted | None = None
    ) -> dict[str, Any]:
        async with self._writing:
            work = partial(
                write,
                self._path,
                edit,
                validate=self._check,
                now=self._clock.now(),
                version=__version__,
                base_hash=base_hash,
            )
            written: Written = await asyncio.to_thread(work)
            answer: dict[str, Any] = {
                "ok": True,
                "path": str(self._path),
                "config": _plain(written.text),
                "hash": written.new_hash,
            }
            if not written.changed:
                return {**answer, "noop": True}
            done = await self._reload(wanted.by if wanted else RPC, wanted)
            pending = done.pending or (done.changed if done.kind is Class.RESTART else ())
            return {**answer, "pendingRestart": list(pending), "sentence": done.sentence}

    # -- what may stand in it ------------------------------------------------------------

    def schema(self) -> dict[str, Any]:
        """`config.schema`."""
        return {
            "schema": _schema(),
            "uiHints": _hints(),
            "version": __version__,
            "generatedAt": ms(self._clock.now()),
        }

    def lookup(self, path: str) -> dict[str, Any] | None:
        """`config.schema.lookup`: one key, and what may stand below it."""
        wanted = path.strip()
        found = describe(wanted) if wanted else None
        if found is None:
            return None
        below = [f"{found.path}.{name}" for name in found.keys]
        rows = [(one, describe(one.replace("<id>", "x").replace("[]", "[0]"))) for one in below]
        return {
            "path": wanted,
            "schema": {"type": found.kind, "description": found.text, "default": found.default},
            "hint": _hint(found.path, found.text),
            "reload": found.reload,
            "children": [
                {"key": name.rpartition(".")[2], "path": name, "type": row.kind, "help": row.text}
                for name, row in rows
                if row is not None
            ],
        }

    # -- agents --------------------------------------------------------------------------

    async def add_agent(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """One more; its id is made of its name."""
        agent_id = re.sub(r"[^a-z0-9_-]+", "-", str(facts["name"]).lower()).strip("-")[:64]
        if not agent_id:
            raise InvalidInput(
                "the agent was not made",
                why="its name has no letter a-z and no figure",
                fix="give it a name an id can be made of, such as ops",
            )
        if self._known(agent_id):
            raise Conflict(f'agent "{agent_id}" already exists', fix="choose another name")
        entry: dict[str, Any] = {"id": agent_id}
        for name, value in facts.items():
            host, _, key = _FACTS[name].rpartition(".")
            (entry.setdefault(host, {}) if host else entry)[key] = value

        def edit(text: str) -> str:
            config = self._loaded().config
            if not config.agents.list:  # the implicit one stays the default
                main = {"id": effective.default_agent(config), "default": True}
                text = set_text(text, "agents.list", [main])
            return set_text(text, "agents.list[]", entry)

        await self._written(edit, None)
        agent = self._loaded().config
        return {"ok": True, "agentId": agent_id, "name": facts["name"], **_home(agent, agent_id)}

    async def change_agent(self, agent_id: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Set what is given."""
        place = self._place(agent_id)

        def edit(text: str) -> str:
            for name, value in facts.items():
                text = set_text(text, f"{place}.{_FACTS[name]}", value)
            return text

        await self._written(edit, None)
        return {"ok": True, "agentId": agent_id}

    async def remove_agent(self, agent_id: str) -> dict[str, Any]:
        """Take one out of the config; its files and conversations stay where they are."""
        if agent_id == effective.default_agent(self._loaded().config):
            raise InvalidInput(
                f'agent "{agent_id}" was not removed',
                why="it is the default agent",
                fix="make another one the default first",
            )
        place = self._place(agent_id)
        await self._written(lambda text: unset_text(text, place), None)
        return {"ok": True, "agentId": agent_id, "removedBindings": 0, "filesDeleted": False}

    def _known(self, agent_id: str) -> bool:
        return any(one.id.lower() == agent_id for one in effective.agents(self._loaded().config))

    def _place(self, agent_id: str) -> str:
        found = effective.find_agent(self._loaded().config, agent_id)
        listed = {one.id for one in self._loaded().config.agents.list}
        if found is None or found.id not in listed:
            raise NotFound(
                f'agent "{agent_id}" not found',
                why="it does not stand in agents.list",
                fix="engine config get agents.list",
                agent_id=agent_id,
            )
        return f"agents.list[id={found.id}]"


def _home(config: Config, agent_id: str) -> dict[str, Any]:
    found = effective.find_agent(config, agent_id)
    return {"workspace": found.workspace} if found is not None and found.workspace else {}


def _plain(text: str) -> dict[str, Any]:
    try:
        found = parse(text if text.strip() else "{}").root.plain()
    except Json5Error:
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _schema() -> dict[str, Any]:
    return Config.model_json_schema(by_alias=True)


@cache
def _hints() -> dict[str, Any]:
    from engine.config.docs import keys

    return {path: _hint(path, text) for path, _, _, text in keys()}


def _hint(path: str, text: str) -> dict[str, Any]:
    name = path.rpartition(".")[2]
    words = re.sub(r"([A-Z])", r" \1", name).strip().capitalize()
    hint: dict[str, Any] = {"label": words, "help": text, "group": path.partition(".")[0]}
    if is_secret(name):
        hint["sensitive"] = True
    return hint
