"""Routes as text, for rows that carry one."""

from __future__ import annotations

import json
from functools import lru_cache

from engine.messages.address import ChatType, Route
from jobs.wallclock import instant, ms


@lru_cache(maxsize=256)  # most messages go where others went before
def route_text(route: Route) -> str:
    """Return a route as JSON text."""
    return json.dumps(
        {
            "channel": route.channel,
            "accountId": route.account_id,
            "to": route.to,
            "threadId": route.thread_id,
            "chatType": route.chat_type.value,
            "via": route.via,
            "learntAt": ms(route.learnt_at),
            "warning": route.warning,
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


@lru_cache(maxsize=256)
def route_of(text: str) -> Route:
    """Return the route behind JSON text."""
    v = json.loads(text)
    return Route(
        channel=v["channel"],
        account_id=v["accountId"],
        to=v["to"],
        thread_id=v["threadId"],
        chat_type=ChatType(v["chatType"]),
        via=v["via"],
        learnt_at=instant(v["learntAt"]),
        warning=v["warning"],
    )
