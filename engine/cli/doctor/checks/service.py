"""`service.*` (operations.md §10, §8). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from engine.cli.doctor.catalogue import finding
from engine.cli.doctor.facts import Facts, Reach, ServiceFacts
from engine.cli.doctor.finding import Act, Finding, Repair, Severity


def check(facts: Facts) -> Iterator[Finding]:
    """Tell what is wrong with it; where somebody else looks after it, nothing is mended."""
    service, program = facts.service, facts.program
    if service.laptop:
        yield finding(
            "service.sleep",
            "this is a laptop that may sleep: schedules pause while it does",
            "elsewhere: keep it awake on mains power, or use a machine that is",
        )
    if not service.managed:
        return
    if not service.installed:
        yield finding(
            "service.not_installed",
            "the gateway is no service of this machine: it ends with its terminal",
            f"{program} gateway install",
            repair=_repair(service, Act.INSTALL_SERVICE),
        )
        return
    yield from _stands(facts)
    yield from _unit(facts)
    if service.lingers is False and not service.system:
        yield finding(
            "service.linger",
            f"services of {service.user} end when {service.user} logs out (lingering is off)",
            f"loginctl enable-linger {service.user}",
            severity=Severity.ERROR,
            repair=_repair(service, Act.ENABLE_LINGER),
        )


def _stands(facts: Facts) -> Iterator[Finding]:
    service, program = facts.service, facts.program
    if service.failed:
        yield finding(
            "service.failed",
            f"the service failed and is not tried again: {service.failed}",
            f"{program} gateway status",
            repair=_repair(service, Act.START_SERVICE),
        )
    elif not service.running and facts.gateway.reach is not Reach.OK:
        yield finding(
            "service.stopped",
            "the service is installed and does not run",
            f"{program} gateway start",
            repair=_repair(service, Act.START_SERVICE),
        )


def _unit(facts: Facts) -> Iterator[Finding]:
    service, program = facts.service, facts.program
    rewrite = _repair(service, Act.REWRITE_SERVICE)
    force = f"{program} gateway install --force"
    if not service.program_there:
        yield finding(
            "service.path",
            f"the service starts {service.program}, which is not there any more",
            force,
            repair=rewrite,
        )
    elif service.version not in (None, facts.version):
        yield finding(
            "service.old_binary",
            f"the service was written by engine {service.version}, this is {facts.version}",
            force,
            repair=rewrite,
        )
    elif service.drift:
        yield finding(
            "service.drift",
            f"the service differs from what this engine would write: {service.drift[0]}",
            force,
            repair=rewrite,
        )
    if service.duplicate:
        yield finding(
            "service.duplicate",
            f"{service.duplicate} is there too: two services would fight for one home",
            "elsewhere: disable and remove one of the two",
        )


def _repair(service: ServiceFacts, act: Act) -> Repair | None:
    return None if service.external else Repair(act=act)
