"""The last good config comes back in the place of a broken one (operations.md §4.2).

At start, and while running once nobody has touched the broken file for five seconds. What comes
back must load; it never listens wider than the broken file asks for; and it is told: in the log,
on record, and to the default agent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from engine.config import lastgood
from engine.config.issues import MISSING
from engine.config.keeping.records import RECOVER
from engine.config.load import Loaded
from engine.config.paths import Paths
from engine.core import Engine
from engine.decisions.wake import NEXT_HEARTBEAT, NewEvent
from engine.store import audit
from gateway import settings
from gateway.reloading.force import Recovered
from jobs.errors import ConfigInvalid, EngineError

log = logging.getLogger(__name__)

QUIET: Final = timedelta(seconds=5)  # a half-typed edit is not touched
AT_START: Final = "gateway: invalid config was restored from last-known-good backup"
AT_RELOAD: Final = "config reload restored last-known-good config after invalid-config"


def at_start(
    options: settings.RunOptions, environ: Mapping[str, str], now: datetime
) -> tuple[settings.RunOptions, Loaded, Recovered | None]:
    """The config to start with; the last good one where the file cannot be used.

    Raises the refusal of the file where there is no good one, or it is not wanted.
    """
    paths = options.paths
    seen = lastgood.standing(paths.config)
    try:
        return options, settings.load_config(paths, environ, jobs_may_wait=True), None
    except ConfigInvalid as refusal:
        broken = _text(paths.config)
        found = restorable(paths, environ, "onStart", "refuse")
        if found is None or _of_secrets(refusal):
            raise
        saved, good = found
        narrowed = lastgood.widens(broken, settings.bind(options, good.config, environ).mode)
        clobbered = lastgood.put_back(paths.config, saved, now, seen=seen)
        if not clobbered:  # somebody mended it while it was judged
            return options, settings.load_config(paths, environ, jobs_may_wait=True), None
        recovered = Recovered("start", lastgood.faults(refusal), clobbered, narrowed)
        if narrowed:
            options = replace(options, bind="loopback")
        loaded = settings.load_config(paths, environ, jobs_may_wait=True)
        return options, loaded, recovered


def while_running(
    paths: Paths, environ: Mapping[str, str], refusal: EngineError, now: datetime
) -> Recovered | None:
    """Put the last good config back; None where there is none, or the file is to be kept.

    Not one that would listen wider, at the next start, than the broken file asks for; nor where
    the file only waits for a variable: `engine setup --channel` writes such a one, and whoever
    fills in `.env` next must find it there.
    """
    seen = lastgood.standing(paths.config)
    found = restorable(paths, environ, "onReload", "keep")
    if found is None or _of_secrets(refusal, MISSING) or _loads(paths, environ):
        return None
    if lastgood.widens(_text(paths.config), found[1].config.gateway.bind):
        return None
    clobbered = lastgood.put_back(paths.config, found[0], now, seen=seen)
    return Recovered("reload", lastgood.faults(refusal), clobbered) if clobbered else None


def _loads(paths: Paths, environ: Mapping[str, str]) -> bool:
    """Whether the file is good by now: it was refused some seconds ago."""
    try:
        settings.load_config(paths, environ)
    except EngineError:
        return False
    return True


def restorable(
    paths: Paths, environ: Mapping[str, str], moment: str, no: str
) -> tuple[lastgood.Saved, Loaded] | None:
    """What may come back: it differs from the file, it loads, and nobody said ``no`` to it."""
    saved = lastgood.read(paths.config)
    if saved is None or not paths.config.exists() or not lastgood.changed(paths.config, saved):
        return None
    if paths.config.is_symlink():
        return None
    try:
        good = settings.load_config(
            paths, environ, jobs_may_wait=True, raw=saved.main, texts=saved.included
        )
    except EngineError:
        return None
    wish = lastgood.asked(_text(paths.config), moment)
    recovery = good.config.gateway.config_recovery
    default = recovery.on_start if moment == "onStart" else recovery.on_reload
    return None if (wish or default) == no else (saved, good)


def _of_secrets(refusal: EngineError, *more: str) -> bool:
    """Whether nothing is wrong with the file: only a place of secrets did not answer."""
    issues = refusal.detail.get("issues")
    listed = issues if isinstance(issues, list) and issues else [{}]
    return all(one.get("code") in ("secret", *more) for one in listed)


def _text(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def tell(engine: Engine, recovered: Recovered, path: Path) -> None:
    """Put it in the log, on record, and before the default agent's eyes."""
    now = engine.clock.now()
    log.error(
        AT_START if recovered.when == "start" else AT_RELOAD,
        extra={
            "because": recovered.because,
            "kept": ", ".join(str(one) for one in recovered.clobbered),
        },
    )
    if recovered.narrowed:
        log.warning("listening on loopback only: the broken config did not ask for more")
    detail = {
        "when": recovered.when,
        "because": recovered.because,
        "clobbered": [str(one) for one in recovered.clobbered],
    }
    event = NewEvent(
        text=recovered.warning,
        mode=NEXT_HEARTBEAT,
        source="config",
        by="gateway",
        context_key="config-recovery",
    )
    await engine.waking.system_event(
        event,
        also=lambda tx: audit.note(
            tx, now=now, actor="gateway", action=RECOVER, subject=str(path), detail=detail
        ),
    )


def keep(loaded: Loaded, *, warn: Callable[[str], None] | None = None) -> None:
    """Keep a config that works as the last good one; a disk that refuses is told and no more."""
    if not loaded.exists:
        return
    try:
        lastgood.save(loaded.path, loaded.hash, loaded.included)
    except (EngineError, OSError) as error:
        (warn or log.warning)(f"the config was not kept as the last good one: {error}")
