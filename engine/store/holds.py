"""What a person lays over beats: switched off, or paused for a while (heartbeat.md §20).

Facts of the home, not of the config: they outlive restarts and reloads, and say who did it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from engine.store import meta
from jobs.store.db import Tx
from jobs.wallclock import EPOCH, MILLISECOND, ms

SWITCH: Final = "heartbeat.enabled"  # meta key; with ":<agent>" one agent's
PAUSE: Final = "heartbeat.paused"  # the same: {by, note, atMs, untilMs}


def switch(tx: Tx, agent_id: str | None, *, on: bool) -> str:
    """Switch all beats, or one agent's; returns the key of the switch."""
    key = _key(SWITCH, agent_id)
    meta.put(tx, key, "on" if on else "off")
    return key


def switched_on(tx: Tx, agent_id: str | None = None) -> bool:
    """Whether heartbeats are on: all of them, and this agent's."""
    if meta.get(tx, SWITCH) == "off":
        return False
    return agent_id is None or meta.get(tx, _key(SWITCH, agent_id)) != "off"


def still_off(tx: Tx, agent_id: str | None) -> list[str]:
    """Name the other switches that keep beats off: `*` for all, for all each agent's own."""
    if agent_id is not None:
        return [] if switched_on(tx) else ["*"]
    own = [key for key in meta.keys(tx, SWITCH) if key != SWITCH]
    return [key.removeprefix(f"{SWITCH}:") for key in own if meta.get(tx, key) == "off"]


def pause(
    tx: Tx, agent_id: str | None, now: datetime, *, by: str, note: str, until: datetime | None
) -> str:
    """Hold all beats, or one agent's; a newer pause takes the place of the older."""
    key = _key(PAUSE, agent_id)
    overlay = {"by": by, "note": note, "atMs": ms(now), "untilMs": ms(until)}
    meta.put(tx, key, json.dumps(overlay, ensure_ascii=False))
    return key


def resume(tx: Tx, agent_id: str | None, now: datetime) -> list[str]:
    """End a pause, without an agent every pause; returns the keys of those that held."""
    keys = meta.keys(tx, PAUSE) if agent_id is None else [_key(PAUSE, agent_id)]
    held = [key for key in keys if _holding(meta.get(tx, key), now)]
    for key in keys:
        meta.drop(tx, key)
    return held


def paused(tx: Tx, agent_id: str | None, now: datetime) -> Mapping[str, Any] | None:
    """Return the pause that holds an agent's beats now: of all of them, or its own."""
    found = _holding(meta.get(tx, PAUSE), now)
    if found is None and agent_id is not None:
        found = _holding(meta.get(tx, _key(PAUSE, agent_id)), now)
    return found


def _holding(text: str | None, now: datetime) -> Mapping[str, Any] | None:
    if not text:
        return None
    overlay: Mapping[str, Any] = json.loads(text)
    until = overlay.get("untilMs")
    over = until is not None and EPOCH + int(until) * MILLISECOND <= now
    return None if over else overlay


def _key(kind: str, agent_id: str | None) -> str:
    return kind if agent_id is None else f"{kind}:{agent_id.lower()}"
