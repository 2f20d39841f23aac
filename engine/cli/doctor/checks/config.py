"""`config.*` (operations.md §10). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from engine.cli.doctor.catalogue import CATALOGUE, finding
from engine.cli.doctor.facts import Facts
from engine.cli.doctor.finding import Act, Finding, Repair, Severity

_EDITOR: Final = '"${EDITOR:-vi}" '
# Notes of the config that have an id of their own here, under another name.
_NAMES: Final[Mapping[str, str]] = {
    "channels.plugin_broken": "plugins.broken",
    "runner.api_unknown": "runner.model_unknown",
    "heartbeat.no_owner": "heartbeat.target_unresolved",
    "heartbeat.no_recipient": "heartbeat.target_unresolved",
    "heartbeat.target_not_configured": "heartbeat.target_unresolved",
    "heartbeat.unknown_account": "heartbeat.account_ambiguous",
}


def check(facts: Facts) -> Iterator[Finding]:
    """Tell what is wrong with the file."""
    config, program = facts.config, facts.program
    if not config.exists:
        yield finding(
            "config.missing",
            f"there is no config {config.path}",
            f"{program} setup",
            repair=Repair(act=Act.SETUP),
        )
    yield from _invalid(facts)
    if config.symlink:
        yield finding(
            "config.symlink",
            f"{config.path} is a link to {config.symlink}: commands do not write through it",
            f"export ENGINE_CONFIG_PATH={config.symlink}",
        )
    if config.newer:
        yield finding(
            "config.written_by_newer",
            f"the config was last written by {config.newer}, this engine is {facts.version}:"
            " it only reads",
            "elsewhere: use the newer engine, or reinstall the service from it",
        )
    if config.clobbered:
        yield finding(
            "config.restored",
            f"a broken config was put aside as {config.clobbered}, and the last good one is used",
            f"{program} config diff --against clobbered",
        )
    for path in config.open_files:
        yield finding(
            "config.perms",
            f"{path} can be read by others",
            f"chmod 600 {path}",
            repair=Repair(act=Act.CHMOD, subject=path, value=0o600),
        )
    for words in config.unknown_env:
        yield finding("config.unknown_env", words, "elsewhere: correct or unset it in your shell")
    yield from _notes(facts)


def _invalid(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    if not config.issues:
        return
    more = f" (and {len(config.issues) - 1} more)" if len(config.issues) > 1 else ""
    copy = config.good_copy
    repair = None if copy is None else Repair(act=Act.RESTORE_CONFIG, subject=copy)
    if config.migrates:
        repair = Repair(act=Act.MIGRATE_CONFIG)
    fix = f"{facts.program} doctor --fix" if repair else f"{facts.program} config validate"
    if config.waits_for:  # a copy in its place would throw away what was just set up
        fix = f"{_EDITOR}{config.waits_for}"
    yield finding(
        "config.legacy" if config.migrates else "config.invalid",
        f"the config {config.path} cannot be used: {config.issues[0]}{more}",
        fix,
        severity=Severity.ERROR,
        repair=repair,
    )


def _notes(facts: Facts) -> Iterator[Finding]:
    """What the reader of the file noted; keys without effect are told once."""
    inert = [key for code, key, _, _ in facts.config.notes if code.startswith("config.inert")]
    if inert:
        shown = ", ".join(inert[:5]) + (f" and {len(inert) - 5} more" if len(inert) > 5 else "")
        words = f"keys without effect here: {shown}"
        yield finding("config.inert", words, f"{facts.program} config validate")
    fix = f"{_EDITOR}{facts.config.path}"
    for code, key, words, warning in facts.config.notes:
        if not warning or code.startswith(("config.inert", "SECRETS_")):
            continue
        ident = _NAMES.get(code, code)
        told = words if words.startswith(key) or key in words else f"{key}: {words}"
        yield finding(ident if ident in CATALOGUE else "config.note", told, fix)
