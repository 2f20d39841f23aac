"""`python.*`, `plugins.*`, `security.*`, `secrets.*` and what is worth knowing (§10). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from engine.cli.doctor.catalogue import finding
from engine.cli.doctor.facts import Facts
from engine.cli.doctor.finding import Finding, Severity

OLDEST: Final = (3, 11)
_REINSTALL: Final = "elsewhere: pipx install --force heartbeat-engine"


def check(facts: Facts) -> Iterator[Finding]:
    """Tell what is wrong with the machine's part."""
    yield from _python(facts)
    host, program = facts.host, facts.program
    for code, words in host.secrets:
        yield finding(f"secrets.{code}", words, f"{program} config validate")
    for check_id, title, way in host.security:
        yield finding(f"security.{check_id}", title, way, severity=Severity.WARN)
    if host.security_warnings:
        count = host.security_warnings
        words = f"{count} warning{'s' * (count > 1)} about who may read and reach this engine"
        yield finding("security.warnings", words, f"{program} security audit")
    if host.strangers:
        yield finding(
            "plugins.allow_empty",
            f"plugins.allow is empty, and {', '.join(host.strangers)} may load by itself",
            f"{program} config get plugins",
        )
    if host.sandbox != "off" and not host.docker:
        yield finding(
            "sandbox.docker_missing",
            f"sandbox.mode is {host.sandbox}, and docker is not on this machine: exec refuses",
            f"{program} config set agents.defaults.sandbox.mode off",
        )
    if not host.completion:
        words = "your shell does not complete engine's commands"
        yield finding("completion.missing", words, f"{program} completion --help")
    if not host.backups and facts.state.exists:
        words = "there is no backup of this home"
        yield finding("backup.none", words, f"{program} backup create")


def _python(facts: Facts) -> Iterator[Finding]:
    host = facts.host
    if host.python < OLDEST:
        version = ".".join(map(str, host.python))
        yield finding("python.version", f"Python {version} is too old: 3.11 is needed", _REINSTALL)
    if host.moved:
        words = f"the engine was installed from {host.moved}, which is not there any more"
        yield finding("python.venv", words, _REINSTALL)
    if host.missing:
        words = f"packages the engine needs are missing: {', '.join(host.missing)}"
        yield finding("python.deps", words, _REINSTALL)
