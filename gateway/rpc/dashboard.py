"""`dashboard.open` (ours): a code that lets one browser in, once and soon (protocol.md §4)."""

from __future__ import annotations

from gateway.protocol.params import Mutation
from gateway.rpc.desk import Call, Desk
from jobs.wallclock import ms


async def opened(desk: Desk, call: Call, _params: Mutation) -> object:
    """`dashboard.open`: where the page is, with the code behind the `#`."""
    code, until = desk.visits.offer(call.session.scopes, desk.clock.now())
    return {"path": f"/#token={code}", "expiresAtMs": ms(until)}
