"""`config.get`, with every secret masked by the word clients restore it from (§10.7)."""

from __future__ import annotations

from engine.config.masks import HIDDEN_ON_WIRE, masked
from gateway.protocol.params import Nothing
from gateway.rpc.desk import Call, Desk


async def get(desk: Desk, _call: Call, _params: Nothing) -> object:
    """The file and what it means. `raw` is null as soon as it holds a secret."""
    file = desk.core.config_file()
    shown = {key: masked(file.get(key), marker=HIDDEN_ON_WIRE) for key in ("parsed", "config")}
    hidden = any(file.get(key) != value for key, value in shown.items())
    return {**file, **shown, "raw": None if hidden else file.get("raw")}
