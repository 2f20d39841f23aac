"""The one edge of the doctor: what is so on this machine, as values for the checks (§10).

`files` the config and what lies beside it, `store` the state directory and its database, `home`
the agents, `machine` the service and the host, `live` what the gateway says. Each looks by
itself; what cannot be looked at is nobody's fault here: another check tells of it.
"""

from __future__ import annotations

from engine import __version__
from engine.cli.ask import Line
from engine.cli.doctor.facts import Facts
from engine.cli.doctor.look import files, home, live, machine, store
from engine.clock import SystemClock


def facts(line: Line, *, probe: bool = False) -> Facts:
    """Return everything the checks look at."""
    place, now = line.place, SystemClock().now()
    told = live.told(line, probe=probe)
    config, loaded = files.config(place)
    service = machine.service(place)
    return Facts(
        now=now,
        program=place.program,
        version=__version__,
        config=config,
        state=store.state(place),
        service=service,
        gateway=live.gateway(line, told),
        schedule=store.schedule(place, loaded, told),
        agents=store.with_outcomes(place, home.agents(place, loaded, now)),
        backends=home.backends(loaded, place, service),
        channels=live.channels(told, loaded),
        host=machine.host(place, loaded, now),
    )
