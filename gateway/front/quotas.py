"""What is left of a day's messages nobody asked for (channels.md §7, §12)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from engine.messages.address import Route
from engine.store import contacts
from gateway.channels.base import Channel
from gateway.channels.windows import day_ends, day_of
from jobs.store.db import Tx
from jobs.wallclock import ms


def left(tx: Tx, channel: Channel, account_id: str, now: datetime) -> Mapping[str, Any]:
    """Return ``{quota}`` of the peer that is nearest to its end today; nothing where none is."""
    found = contacts.most_unasked(tx, channel.id, account_id, day_of(now))
    if found is None:
        return {}
    peer, sent = found
    rules = channel.rules(Route(channel=channel.id, account_id=account_id, to=peer))
    if rules is None or rules.per_day is None:
        return {}
    quota = {
        "peer": peer,
        "perDay": rules.per_day,
        "left": max(rules.per_day - sent, 0),
        "resetsAt": ms(day_ends(now)),
    }
    return {"quota": quota}
