"""Holds a home for one command that writes while no gateway runs, so that none can start then."""

from __future__ import annotations

import os
from datetime import datetime

from engine import __version__
from engine.cli.place import Place
from gateway import exits
from gateway.lock import Lock, Owner
from jobs.ids import new_id


def hold(place: Place, now: datetime) -> Lock:
    """Return the gateway's lock on this home; entering it raises `OwnershipRefused` if held."""
    place.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    exits.settle(place.paths.state)  # the lock file is written over
    owner = Owner(
        pid=os.getpid(),
        started_at_ms=round(now.timestamp() * 1000),
        boot_id=new_id(now),
        version=__version__,
        profile=place.paths.profile,
        config_path=str(place.paths.config),
    )
    return Lock(place.paths.state, owner)
