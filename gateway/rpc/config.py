"""The config over the wire (protocol.md §10.7): secrets masked, writes guarded and counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.config.masks import HIDDEN_ON_WIRE, masked
from gateway.protocol.admin_params import (
    ConfigApplyParams,
    ConfigPatchParams,
    ConfigSetParams,
    SchemaLookupParams,
)
from gateway.protocol.errors import Refusal, invalid
from gateway.protocol.params import Mutation, Nothing
from gateway.restarts import Wanted
from gateway.rpc.desk import Call, Desk
from gateway.rpc.windows import refused
from jobs.errors import Conflict
from jobs.wallclock import MILLISECOND

MISMATCH = "CONFIG_HASH_MISMATCH"
CHANGED = "config changed since last load; re-run config.get and retry"


async def get(desk: Desk, _call: Call, _params: Nothing) -> object:
    """The file and what it means. `raw` is null as soon as it holds a secret."""
    file = desk.core.settings.file()
    shown = {key: masked(file.get(key), marker=HIDDEN_ON_WIRE) for key in ("parsed", "config")}
    hidden = any(file.get(key) != value for key, value in shown.items())
    return {**file, **shown, "raw": None if hidden else file.get("raw")}


async def schema(desk: Desk, _call: Call, _params: Nothing) -> object:
    """`config.schema`."""
    return desk.core.settings.schema()


async def lookup(desk: Desk, _call: Call, params: SchemaLookupParams) -> object:
    """`config.schema.lookup`."""
    found = desk.core.settings.lookup(params.path)
    if found is None:
        raise invalid("config schema path not found", path="/path")
    return found


async def set_(desk: Desk, call: Call, params: ConfigSetParams) -> object:
    """`config.set`: the whole file; not counted (§6)."""
    return await _replaced(desk, call, params)


async def apply(desk: Desk, call: Call, params: ConfigApplyParams) -> object:
    """`config.apply`: as `config.set`, and counted. What can be is in force when it answers."""
    _count(desk, call, "config.apply")
    return await _replaced(desk, call, params)


async def patch(desk: Desk, call: Call, params: ConfigPatchParams) -> object:
    """`config.patch`."""
    _guarded(desk, params)
    try:
        wish = json.loads(params.raw)
    except (ValueError, RecursionError) as error:
        raise invalid("config.patch raw must be a JSON object", path="/raw") from error
    if not isinstance(wish, dict):
        raise invalid("config.patch raw must be a JSON object", path="/raw")
    _count(desk, call, "config.patch")
    try:
        answer = await desk.core.settings.patch(
            params.raw,
            base_hash=params.base_hash,
            replace_paths=params.replace_paths or (),
            wanted=_wanted(call, params),
        )
    except Conflict as error:
        raise _changed(error) from error
    return _shown(answer)


async def reload(desk: Desk, call: Call, _params: Mutation) -> object:
    """`config.reload`: take the file over now; the command line asks it after each write."""
    return await desk.core.settings.reload("cli" if call.session.client.mode == "cli" else call.by)


async def _replaced(desk: Desk, call: Call, params: ConfigSetParams) -> object:
    _guarded(desk, params)
    try:
        answer = await desk.core.settings.replace(
            params.raw, base_hash=params.base_hash, wanted=_wanted(call, params)
        )
    except Conflict as error:
        raise _changed(error) from error
    return _shown(answer)


def _wanted(call: Call, params: ConfigSetParams) -> Wanted:
    """Who changes it, and whom to tell of a restart should there be one."""
    if not isinstance(params, ConfigApplyParams):
        return Wanted(reason="", by=call.by)
    delivery = params.delivery_context
    return Wanted(
        reason="",
        by=call.by,
        delay=(params.restart_delay_ms or 0) * MILLISECOND,
        session_key=params.session_key,
        delivery=delivery if isinstance(delivery, dict) else None,
        note=params.note,
    )


def _changed(error: Conflict) -> Refusal:
    """Somebody else wrote it meanwhile: the caller learns what to read again."""
    detail = {"code": MISMATCH, "currentHash": error.detail.get("currentHash")}
    return invalid(CHANGED, path="/baseHash", **detail)


def _guarded(desk: Desk, params: ConfigSetParams) -> None:
    """Nobody overwrites a file he has not read."""
    file = desk.core.settings.file()
    if file.get("exists") and params.base_hash is None:
        detail = {"code": MISMATCH, "currentHash": file.get("hash")}
        raise invalid(CHANGED, path="/baseHash", **detail)


def _count(desk: Desk, call: Call, method: str) -> None:
    most, window = desk.core.settings.write_limit()
    now = desk.clock.now()
    wait = desk.writes.take(f"{method} {call.caller}", now, most=most, window=window)
    if wait is not None:
        raise refused(method, wait, most, window)


def _shown(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {**answer, "config": masked(answer.get("config"), marker=HIDDEN_ON_WIRE)}
