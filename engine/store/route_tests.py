"""How the last try of each way out ended, silent or seen (heartbeat.md §25 row 18)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from engine.messages.route_health import Tried
from engine.store import meta
from jobs.store.db import Tx
from jobs.wallclock import at, ms

KEY: Final = "route.tried"  # meta key, with ":<lane>"


def note(tx: Tx, lane: str, tried: Tried) -> None:
    """Remember how a try ended; the one before it is forgotten."""
    told = {"atMs": ms(tried.at), "ok": tried.ok, "detail": tried.detail[:300]}
    meta.put(tx, f"{KEY}:{lane}", json.dumps(told, ensure_ascii=False))


def last(tx: Tx, lane: str) -> Tried | None:
    """Return how the last try of a lane ended."""
    text = meta.get(tx, f"{KEY}:{lane}")
    if text is None:
        return None
    told = json.loads(text)
    return Tried(at=at(told["atMs"]), ok=bool(told["ok"]), detail=str(told["detail"]))


def failing(tx: Tx, since: datetime) -> frozenset[str]:
    """Return the lanes whose last try failed, and not long ago."""
    found = set()
    for key in meta.keys(tx, KEY):
        lane = key.removeprefix(f"{KEY}:")
        tried = last(tx, lane)
        if tried is not None and not tried.ok and tried.at >= since:
            found.add(lane)
    return frozenset(found)
