"""`gateway.schema`: what may be asked and how, told by the gateway itself (protocol.md §14)."""

from __future__ import annotations

import asyncio

from gateway.protocol import schema
from gateway.protocol.params import SchemaParams
from gateway.rpc.desk import Call, Desk


async def told(_: Desk, __: Call, params: SchemaParams) -> object:
    """The schema of one method, or of everything."""
    if params.method is not None:
        return schema.of_method(params.method)
    return await asyncio.to_thread(schema.whole)  # some hundred models: nobody waits for that
